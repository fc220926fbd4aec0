import gc
import tracemalloc

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.decide.cache import FAILURE_MAX_S, NEGATIVE_TTL_MAX, TTL_MAX, Cache, Cached, Failures, cacheable
from enforcer.errors import Malformed
from enforcer.wire.dns import read_response
from tests.wire.messages import Built, name, responses

SOA = "ns.test. hostmaster.test. 1 3600 600 86400 {minimum}"


def an_answer(*records: str, rcode: str = "NOERROR", soa: tuple[int, int] | None = None, tc: bool = False) -> bytes:
    """A response to `www.ok.test A`. soa: its TTL and its MINIMUM."""
    reply = dns.message.make_response(dns.message.make_query("www.ok.test", "A", id=1))
    reply.set_rcode(dns.rcode.from_text(rcode))
    for record in records:
        reply.answer.append(dns.rrset.from_text(*_parts(record)))
    if soa is not None:
        reply.authority.append(dns.rrset.from_text("ok.test.", soa[0], "IN", "SOA", SOA.format(minimum=soa[1])))
    if tc:
        reply.flags |= dns.flags.TC
    return reply.to_wire(max_size=65535)


def _parts(record: str) -> tuple[str, int, str, str, str]:
    owner, ttl, rtype, rdata = record.split(maxsplit=3)
    return owner, int(ttl), "IN", rtype, rdata


def kept(wire: bytes, now: float = 100, max_ttl: int = TTL_MAX) -> Cached:
    return cacheable(wire, read_response(wire), now, max_ttl)


def lifetime(wire: bytes, max_ttl: int = TTL_MAX) -> float:
    return kept(wire, 100, max_ttl).until - 100


def ttls(wire: bytes | bytearray) -> list[int]:
    return [record.ttl for record in read_response(bytes(wire)).records]


def question(text: str, rtype: int = 1, rclass: int = 1) -> bytes:
    return name(text) + rtype.to_bytes(2) + rclass.to_bytes(2)


WWW = question("www.ok.test")
POSITIVE = an_answer("www.ok.test. 300 A 192.0.2.80")
NXDOMAIN = an_answer(rcode="NXDOMAIN", soa=(900, 30))
NODATA = an_answer(soa=(900, 30))


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(300, 300), (0, 0), (TTL_MAX + 1, TTL_MAX), (0x7FFFFFFF, TTL_MAX), (0x80000000, 0)]
)
def test_c1_an_answer_lives_as_long_as_its_ttl_says_at_most_a_day(ttl: int, seconds: int) -> None:
    wire = bytearray(POSITIVE)
    (record,) = read_response(POSITIVE).records
    wire[record.ttl_at : record.ttl_at + 4] = ttl.to_bytes(4)
    entry = kept(bytes(wire))
    assert entry.until == 100 + seconds
    assert ttls(entry.at(100)) == [seconds]


def test_c1_the_shortest_ttl_of_a_chain_ends_all_of_it() -> None:
    wire = an_answer("www.ok.test. 20 CNAME a.test.", "a.test. 300 A 192.0.2.1")
    assert lifetime(wire) == 20


def test_c1_ttls_are_counted_down() -> None:
    entry = kept(POSITIVE, 100)
    assert [ttls(entry.at(now)) for now in (100, 100.9, 101, 399, 400, 5000)] == [[300], [300], [299], [1], [0], [0]]


def test_a_configured_maximum_shortens_life_and_ttls() -> None:
    entry = kept(POSITIVE, 100, 60)
    assert entry.until == 160
    assert ttls(entry.at(110)) == [50]
    assert lifetime(NXDOMAIN, 10) == 10


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
@pytest.mark.parametrize(
    ("soa", "seconds"), [((900, 30), 30), ((20, 600), 20), ((TTL_MAX, TTL_MAX), NEGATIVE_TTL_MAX), (None, 0)]
)
def test_c2_a_negative_answer_lives_as_its_soa_says(rcode: str, soa: tuple[int, int] | None, seconds: int) -> None:
    assert lifetime(an_answer(rcode=rcode, soa=soa)) == seconds


def test_c2_a_client_that_counts_from_minimum_does_not_keep_it_longer_than_we_do() -> None:
    entry = kept(NXDOMAIN, 100)
    assert ttls(entry.at(100)) == [30]  # not 900: at 25 s a client would begin another 30 s of MINIMUM
    assert ttls(entry.at(125)) == [5]


def test_c2_an_alias_to_nothing_is_negative() -> None:
    assert lifetime(an_answer("www.ok.test. 300 CNAME a.test.", rcode="NXDOMAIN", soa=(900, 30))) == 30
    assert lifetime(an_answer("www.ok.test. 300 CNAME a.test.", rcode="NXDOMAIN")) == 0


def test_an_soa_that_is_none_is_malformed() -> None:
    cut = bytearray(NXDOMAIN)
    (record,) = read_response(NXDOMAIN).records
    cut[record.data_at - 2 : record.data_at] = (record.data_end - record.data_at - 1).to_bytes(2)
    with pytest.raises(Malformed):
        kept(bytes(cut[:-1]))


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
def test_errors_are_not_kept(rcode: str) -> None:
    assert lifetime(an_answer("www.ok.test. 300 A 192.0.2.80", rcode=rcode)) == 0


def test_a_truncated_answer_is_not_kept() -> None:
    assert lifetime(an_answer("www.ok.test. 300 A 192.0.2.80", tc=True)) == 0


@settings(max_examples=40)
@given(responses(), st.integers(0, TTL_MAX), st.lists(st.floats(0, 200_000), min_size=2, max_size=6))
def test_ttls_handed_out_only_go_down_and_never_exceed_the_original(
    built: Built, most: int, times: list[float]
) -> None:
    wire = built.wire
    response = read_response(wire)
    try:
        entry = cacheable(wire, response, 50.5, most)
    except Malformed:
        return
    last = [record.ttl for record in response.records]
    for passed in sorted(times):
        given_out = [int.from_bytes(entry.at(50.5 + passed)[record.ttl_at :][:4]) for record in response.records]
        assert all(now <= before for now, before in zip(given_out, last, strict=True))
        last = given_out
    assert 50.5 <= entry.until <= 50.5 + min(most, TTL_MAX)


def test_an_entry_is_given_until_it_expires() -> None:
    cache = Cache(20_000)
    entry = kept(POSITIVE, 100)
    cache.put(WWW, 0, entry, 100)
    assert cache.get(WWW, 0, 399.9) is entry
    assert cache.get(WWW, 0, 400) is None
    assert len(cache) == cache.bytes == 0


def test_what_must_not_be_kept_is_not() -> None:
    cache = Cache(20_000)
    cache.put(WWW, 0, kept(an_answer()), 100)
    assert len(cache) == 0


def test_c2_nxdomain_is_for_the_name_and_nodata_for_the_type() -> None:
    cache = Cache(20_000)
    cache.put(WWW, 0, kept(NXDOMAIN), 100)
    assert cache.get(question("www.ok.test", 28), 0, 100) is not None
    assert cache.get(question("a.www.ok.test"), 0, 100) is None
    cache = Cache(20_000)
    cache.put(WWW, 0, kept(NODATA), 100)
    assert cache.get(WWW, 0, 100) is not None
    assert cache.get(question("www.ok.test", 28), 0, 100) is None


def test_c2_nxdomain_of_one_class_says_nothing_of_another() -> None:
    cache = Cache(20_000)
    cache.put(question("www.ok.test", rclass=4), 0, kept(NXDOMAIN), 100)
    assert cache.get(WWW, 0, 100) is None


def test_c2_nxdomain_at_the_end_of_a_chain_is_for_its_type_alone() -> None:
    cache = Cache(20_000)
    cache.put(WWW, 0, kept(an_answer("www.ok.test. 300 CNAME a.test.", rcode="NXDOMAIN", soa=(900, 30))), 100)
    assert cache.get(question("www.ok.test", 28), 0, 100) is None


def test_c5_answers_are_not_shared_between_do_and_cd() -> None:
    cache = Cache(20_000)
    cache.put(WWW, 2, kept(POSITIVE), 100)
    assert [cache.get(WWW, variant, 100) is not None for variant in range(4)] == [False, False, True, False]


def test_the_least_recently_used_goes_first() -> None:
    entry = kept(POSITIVE)
    cache = Cache(entry.size * 8)
    for number in range(8):
        cache.put(question(f"{number}.test"), 0, kept(POSITIVE), 100)
    assert cache.get(question("0.test"), 0, 100) is not None
    cache.put(question("8.test"), 0, kept(POSITIVE), 100)
    assert cache.get(question("0.test"), 0, 100) is not None
    assert cache.get(question("1.test"), 0, 100) is None


@given(
    st.integers(0, 40_000),
    st.lists(
        st.tuples(
            st.integers(0, 9), st.integers(0, 3), st.sampled_from([POSITIVE, NXDOMAIN, NODATA]), st.integers(0, 5)
        )
    ),
)
def test_the_cache_never_takes_more_than_its_bytes(most: int, puts: list[tuple[int, int, bytes, int]]) -> None:
    cache = Cache(most)
    now = 0.0
    for number, variant, wire, passed in puts:
        now += passed
        cache.put(question(f"{number}.test"), variant, kept(wire, now), now)
        cache.get(question(f"{number}.test"), variant, now)
        assert 0 <= cache.bytes <= most
        assert (cache.bytes == 0) == (len(cache) == 0)


@pytest.mark.parametrize("records", [1, 4, 20])
def test_the_size_of_an_entry_is_not_less_than_the_memory_that_it_takes(records: int) -> None:
    wires = [
        an_answer(*(f"{number}.{record}.ok.test. 300 A 192.0.2.{record + 1}" for record in range(records)))
        for number in range(200)
    ]
    cache = Cache(1 << 24)
    gc.collect()
    tracemalloc.start()
    try:
        for number, wire in enumerate(wires):
            cache.put(question(f"{number}.test"), 0, kept(bytes(bytearray(wire))), 100)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) == 200
    assert taken <= cache.bytes


def test_c3_a_failure_is_kept_twice_as_long_each_time_from_one_second_to_five_minutes() -> None:
    failures = Failures()
    now, waits = 0.0, []
    for _ in range(10):
        failures.add(WWW, 0, now)
        wait = next(seconds for seconds in range(1, 400) if not failures.blocked(WWW, 0, now + seconds))
        assert failures.blocked(WWW, 0, now + wait - 0.1)
        waits.append(wait)
        now += wait
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert FAILURE_MAX_S <= 300


def test_c3_failures_are_of_one_question_and_forgotten_with_its_answer() -> None:
    failures = Failures()
    failures.add(WWW, 0, 0)
    assert not failures.blocked(question("www.ok.test", 28), 0, 0)
    assert not failures.blocked(WWW, 1, 0)
    failures.forget(WWW, 0)
    assert not failures.blocked(WWW, 0, 0)


def test_failures_are_kept_for_so_many_questions_and_no_more() -> None:
    failures = Failures(3)
    for number in range(5):
        failures.add(question(f"{number}.test"), 0, 0)
    assert [failures.blocked(question(f"{number}.test"), 0, 0.5) for number in range(5)] == [False] * 2 + [True] * 3
