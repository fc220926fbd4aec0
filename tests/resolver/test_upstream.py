import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from enforcer.config.values import Upstream as Target
from enforcer.counters import UPSTREAM_BUCKETS, Counters, word
from enforcer.policy.names import parse
from enforcer.resolver import health
from enforcer.resolver import link as link_module
from enforcer.resolver.upstream import Answer, Failure, Manner, Question, Upstreams, mixed

QUESTION = Question(parse("www.ok.test"), 1, 1, do=False, cd=False)
QUICK = Manner(fastest=False, attempt_s=0.1, query_s=0.6)
GOOD, OTHER = "192.0.2.80", "192.0.2.66"

type Say = Callable[[bytes], Sequence[bytes]]


def answer(
    query: bytes, address: str = GOOD, *, rcode: str = "NOERROR", edns: bool = True, tc: bool = False, name: str = ""
) -> bytes:
    """A well-formed response to a query, in the query's own letter case."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.set_rcode(dns.rcode.from_text(rcode))
    if rcode == "NOERROR":
        reply.answer.append(dns.rrset.from_text(name or reply.question[0].name, 300, "IN", "A", address))
    if not edns:
        reply.use_edns(False)
    if tc:
        reply.flags |= dns.flags.TC
    return reply.to_wire()


def well(query: bytes) -> Sequence[bytes]:
    return (answer(query),)


def nothing(query: bytes) -> Sequence[bytes]:
    return ()


def saying(rcode: str) -> Say:
    return lambda query: (answer(query, rcode=rcode),)


def in_turn(*says: Say) -> Say:
    """One after the other, then the last for ever."""
    left = list(says)

    def say(query: bytes) -> Sequence[bytes]:
        return (left.pop(0) if len(left) > 1 else left[0])(query)

    return say


class Fake(asyncio.DatagramProtocol):
    """An upstream on loopback that says what a test wants, over UDP and, with `stream`, over TCP at the same port."""

    def __init__(self, say: Say, stream: Say | None) -> None:
        self.say = say
        self.stream = stream
        self.asked: list[bytes] = []
        self.ports: list[int] = []
        self.streamed: list[bytes] = []
        self.where = ("", 0)
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport
        self.where = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        self.ports.append(addr[1])
        for reply in self.say(data):
            assert self.transport is not None
            # Not through the transport, which sends no empty datagram before Python 3.13.
            self.transport.get_extra_info("socket")._sock.sendto(reply, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        self.streamed.append(query)
        for reply in self.stream(query) if self.stream is not None else ():
            for octet in len(reply).to_bytes(2) + reply:  # in as many pieces as can be
                writer.write(bytes((octet,)))
                await writer.drain()
        writer.close()


@asynccontextmanager
async def fake(say: Say, stream: Say | None = None) -> AsyncIterator[Fake]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Fake(say, stream), local_addr=("127.0.0.1", 0))
    server = await asyncio.start_server(protocol.serve, *protocol.where) if stream is not None else None
    try:
        yield protocol
    finally:
        transport.close()
        if server is not None:
            server.close()
            await server.wait_closed()


@pytest.fixture
def words(tmp_path: Path) -> Iterator[memoryview]:
    counters = Counters(tmp_path / "counters")
    yield counters.words
    counters.close()


@asynccontextmanager
async def upstreams(
    words: memoryview, *fakes: Fake | tuple[str, int], manner: Manner = QUICK
) -> AsyncIterator[Upstreams]:
    wheres = [each.where if isinstance(each, Fake) else each for each in fakes]
    where = [Target(ip_address(host), port) for host, port in wheres]
    async with asyncio.TaskGroup() as tasks:
        made = Upstreams(where, manner, words, asyncio.get_running_loop(), tasks)
        try:
            yield made
        finally:
            made.close()


async def ask(upstreams: Upstreams, question: Question = QUESTION) -> Answer | Failure:
    future: asyncio.Future[Answer | Failure] = asyncio.get_running_loop().create_future()
    upstreams.ask(question, future.set_result)
    return await future


def address(result: Answer | Failure) -> str:
    assert isinstance(result, Answer), result
    return str(dns.message.from_wire(result.wire).answer[0][0])


def failures(words: memoryview, reason: str, index: int = 0) -> int:
    return int(words[word("upstream_failures", str(index), reason)])


def run[T](scenario: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await scenario()

    return asyncio.run(whole())


def one(words: memoryview, say: Say, stream: Say | None = None) -> tuple[Answer | Failure, Fake]:
    """What comes of one question to one upstream."""

    async def scenario() -> tuple[Answer | Failure, Fake]:
        async with fake(say, stream) as only, upstreams(words, only) as asker:
            return await ask(asker), only

    return run(scenario)


# What is asked, and what counts as its answer


def test_e5_e7_the_query_upstream_is_our_own_with_do_and_cd_as_the_client_has_them(words: memoryview) -> None:
    async def scenario() -> list[bytes]:
        async with fake(well) as only, upstreams(words, only) as asker:
            for do in (False, True):
                for cd in (False, True):
                    await ask(asker, Question(parse("www.ok.test"), 1, 1, do, cd))
            return only.asked

    asked = [dns.message.from_wire(wire) for wire in run(scenario)]
    assert [bool(query.ednsflags & dns.flags.DO) for query in asked] == [False, False, True, True]
    assert [bool(query.flags & dns.flags.CD) for query in asked] == [False, True, False, True]
    assert all(query.flags & dns.flags.RD and (query.payload, query.options) == (1232, ()) for query in asked)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda query: bytes((query[0] ^ 1,)) + answer(query, OTHER)[1:], "mismatch"),
        (lambda query: answer(query, OTHER).replace(b"\x03www", b"\x03wwx"), "mismatch"),
        (lambda query: answer(query, OTHER).replace(b"\0\x01\0\x01\xc0", b"\0\x1c\0\x01\xc0", 1), "mismatch"),
        (lambda query: answer(query, OTHER).replace(b"\0\x01\0\x01\xc0", b"\0\x01\0\x03\xc0", 1), "mismatch"),
        (lambda query: query, "malformed"),
        (lambda query: answer(query, OTHER)[:-3], "malformed"),
        (lambda query: query[:2] + b"\xff" * 40, "malformed"),
        (lambda query: query[:2], "mismatch"),
        (lambda query: b"", "mismatch"),
    ],
    ids=["id", "name", "type", "class", "query", "cut", "garbage", "two octets", "empty"],
)
def test_u1_a_lie_is_ignored_and_the_right_answer_awaited(
    words: memoryview, lie: Callable[[bytes], bytes], reason: str
) -> None:
    result, only = one(words, lambda query: (lie(query), answer(query)))
    assert address(result) == GOOD
    assert len(only.asked) == 1
    assert failures(words, reason) == 1


def test_u1_an_answer_from_another_port_never_arrives(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

            def say(query: bytes) -> Sequence[bytes]:
                for port in only.ports:
                    stranger.sendto(answer(query, OTHER), ("127.0.0.1", port))
                return (answer(query),)

            async with fake(say) as only, upstreams(words, only) as asker:
                return await ask(asker)

    assert address(run(scenario)) == GOOD


def test_the_letter_case_of_the_answer_does_not_matter(words: memoryview) -> None:
    result, _ = one(words, lambda query: (answer(query).replace(b"www", b"WwW"),))
    assert address(result) == GOOD


# Truncation and EDNS


def test_u3_what_is_truncated_is_asked_again_over_tcp(words: memoryview) -> None:
    result, only = one(words, lambda query: (answer(query, OTHER, tc=True),), well)
    assert address(result) == GOOD
    assert (len(only.asked), len(only.streamed)) == (1, 1)


@pytest.mark.parametrize(
    "stream",
    [
        nothing,
        lambda query: (answer(query)[:-3],),
        lambda query: (b"\0\0" + answer(query)[2:],),
        lambda query: (answer(query).replace(b"\x03www", b"\x03wwx"),),
    ],
    ids=["closed", "cut", "another id", "another name"],
)
def test_u3_without_an_answer_over_tcp_the_truncated_one_is_passed_on_as_such(words: memoryview, stream: Say) -> None:
    result, only = one(words, lambda query: (answer(query, OTHER, tc=True),), stream)
    assert isinstance(result, Answer)
    assert result.response.tc
    assert len(only.asked) == 2


def test_u3_where_nobody_takes_tcp_the_next_upstream_is_asked(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with (
            fake(lambda query: (answer(query, OTHER, tc=True),)) as first,
            fake(well) as second,
            upstreams(words, first, second) as asker,
        ):
            return await ask(asker)

    assert address(run(scenario)) == GOOD


def test_u3_an_error_over_tcp_is_no_answer(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with (
            fake(lambda query: (answer(query, tc=True),), saying("SERVFAIL")) as first,
            fake(well) as second,
            upstreams(words, first, second) as asker,
        ):
            return await ask(asker)

    assert address(run(scenario)) == GOOD
    assert failures(words, "refused") == 1


def test_only_so_many_are_asked_over_tcp_at_a_time(words: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "IN_FLIGHT", 0)
    result, only = one(words, lambda query: (answer(query, OTHER, tc=True),), well)
    assert isinstance(result, Answer)
    assert result.response.tc
    assert only.streamed == []


def without_edns(rcode: str, *, question: bool) -> Say:
    """A server that does not know EDNS; question: whether its error has the question in it."""

    def say(query: bytes) -> Sequence[bytes]:
        if dns.message.from_wire(query).edns < 0:
            return (answer(query),)
        whole = answer(query, rcode=rcode, edns=False)
        return (whole if question else whole[:4] + bytes(8),)

    return say


@pytest.mark.parametrize(("rcode", "question"), [("FORMERR", True), ("FORMERR", False), ("NOTIMP", True)])
def test_u3_a_server_that_does_not_know_edns_is_asked_without_and_that_is_remembered(
    words: memoryview, rcode: str, question: bool
) -> None:
    async def scenario() -> list[bytes]:
        async with fake(without_edns(rcode, question=question)) as only, upstreams(words, only) as asker:
            for _ in range(3):
                assert address(await ask(asker)) == GOOD
            return only.asked

    assert [dns.message.from_wire(wire).edns for wire in run(scenario)] == [0, -1, -1, -1]


def test_u3_one_query_that_a_server_does_not_like_does_not_take_edns_from_it(words: memoryview) -> None:
    def say(query: bytes) -> Sequence[bytes]:
        strange = dns.message.from_wire(query).question[0].rdtype == 65400
        return (answer(query, rcode="FORMERR", edns=False) if strange else answer(query),)

    async def scenario() -> list[bytes]:
        async with fake(say) as only, upstreams(words, only) as asker:
            assert await ask(asker, Question(parse("www.ok.test"), 65400, 1, False, False)) is Failure.REFUSED
            only.asked.clear()
            assert address(await ask(asker)) == GOOD
            return only.asked

    assert [dns.message.from_wire(wire).edns for wire in run(scenario)] == [0]


def test_u3_edns_is_tried_again_after_a_while(words: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PLAIN_S", 0.0)

    async def scenario() -> list[bytes]:
        async with fake(without_edns("FORMERR", question=True)) as only, upstreams(words, only) as asker:
            for _ in range(2):
                await ask(asker)
            return only.asked

    assert [dns.message.from_wire(wire).edns for wire in run(scenario)] == [0, -1, 0, -1]


# Failover


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
def test_an_upstream_that_fails_is_followed_by_the_next(words: memoryview, rcode: str) -> None:
    async def scenario() -> Answer | Failure:
        async with fake(saying(rcode)) as first, fake(well) as second, upstreams(words, first, second) as asker:
            return await ask(asker)

    assert address(run(scenario)) == GOOD


def test_nxdomain_is_an_answer(words: memoryview) -> None:
    result, only = one(words, saying("NXDOMAIN"))
    assert isinstance(result, Answer)
    assert result.response.rcode == dns.rcode.NXDOMAIN
    assert len(only.asked) == 1


def test_when_all_fail_each_was_asked_twice(words: memoryview) -> None:
    async def scenario() -> tuple[Answer | Failure, list[int]]:
        async with fake(saying("SERVFAIL")) as one, fake(saying("REFUSED")) as two, upstreams(words, one, two) as asker:
            return await ask(asker), [len(one.asked), len(two.asked)]

    assert run(scenario) == (Failure.REFUSED, [2, 2])


def test_a_silent_upstream_is_followed_by_the_next_and_counted(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with fake(nothing) as first, fake(well) as second, upstreams(words, first, second) as asker:
            return await ask(asker)

    assert address(run(scenario)) == GOOD
    assert failures(words, "timeout") == 1


def test_a_lost_query_is_sent_again(words: memoryview) -> None:
    result, only = one(words, in_turn(nothing, well))
    assert address(result) == GOOD
    assert len({wire[:2] for wire in only.asked}) == 2


def test_an_answer_that_comes_after_the_next_was_asked_still_counts(words: memoryview) -> None:
    """A resolver that needs longer than attempt_s for a name, as many do, is not asked in vain."""

    async def scenario() -> Answer | Failure:
        def say(query: bytes) -> Sequence[bytes]:
            if len(only.asked) == 2 and only.transport is not None:
                only.transport.sendto(answer(only.asked[0]), ("127.0.0.1", only.ports[0]))
            return ()

        async with fake(say) as only, upstreams(words, only) as asker:
            return await ask(asker)

    assert address(run(scenario)) == GOOD


def test_silence_is_told_when_the_question_is_given_up_and_not_before(words: memoryview) -> None:
    async def scenario() -> tuple[Answer | Failure, bool, int]:
        loop = asyncio.get_running_loop()
        async with fake(nothing) as only, upstreams(words, only) as asker:
            until = loop.time() + QUICK.query_s
            result = await ask(asker)
            return result, loop.time() >= until - 0.01, sum(len(port.waiting) for port in asker._ports[0].open)

    assert run(scenario) == (Failure.SILENT, True, 0)


def test_where_nobody_listens_the_next_is_asked_at_once(words: memoryview) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = sock.getsockname()
    slow = Manner(fastest=False, attempt_s=20, query_s=30)

    async def scenario() -> tuple[Answer | Failure, Answer | Failure]:
        async with fake(well) as second, upstreams(words, nobody, second, manner=slow) as asker:
            result = await ask(asker)
        async with upstreams(words, nobody, manner=slow) as asker:
            return result, await ask(asker)

    result, alone = run(scenario)
    assert address(result) == GOOD
    assert alone is Failure.UNREACHABLE
    assert failures(words, "network") >= 3


def test_an_address_that_cannot_be_reached_is_no_reason_to_stop(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with upstreams(words, ("255.255.255.255", 53)) as asker:  # EACCES: it is for broadcasts
            return await ask(asker)

    assert run(scenario) is Failure.UNREACHABLE
    assert failures(words, "network") == 2


def test_without_upstreams_there_is_no_answer(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with upstreams(words) as asker:
            return await ask(asker)

    assert run(scenario) is Failure.UNREACHABLE


def test_an_upstream_that_is_down_is_passed_over_and_comes_back(
    words: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DOWN_MIN_S", 0.2)
    manner = Manner(fastest=False, attempt_s=0.05, query_s=0.5)

    async def scenario() -> None:
        up = word("upstream_up", "0")
        async with (
            fake(nothing) as first,
            fake(well) as second,
            upstreams(words, first, second, manner=manner) as asker,
        ):
            for upstream in asker._roster.all:
                upstream.down_s = 0.2
            for _ in range(3):
                await ask(asker)
            assert (words[up], len(first.asked)) == (0, 3)
            await ask(asker)
            assert len(first.asked) == 3
            first.say = well
            asker._roster.all[0].down_until = 0.0
            await ask(asker)
            assert (words[up], len(first.asked)) == (1, 4)

    run(scenario)


def test_many_silences_at_once_are_one_reason_to_wait(words: memoryview) -> None:
    async def scenario() -> float:
        manner = Manner(fastest=False, attempt_s=0.05, query_s=0.06)
        async with fake(nothing) as only, upstreams(words, only, manner=manner) as asker:
            await asyncio.gather(*(ask(asker) for _ in range(50)))
            return asker._roster.all[0].down_s

    assert run(scenario) == 2 * health.DOWN_MIN_S


def test_fastest_asks_the_one_that_answered_soonest(words: memoryview) -> None:
    async def scenario() -> tuple[int, int]:
        manner = Manner(fastest=True, attempt_s=0.5, query_s=1)
        async with fake(well) as first, fake(well) as second, upstreams(words, first, second, manner=manner) as asker:
            for upstream, latency in zip(asker._roster.all, (0.2, 0.001), strict=True):
                upstream.latency, upstream.asked = latency, asker._loop.time()
            await ask(asker)
            return len(first.asked), len(second.asked)

    assert run(scenario) == (0, 1)


def test_fastest_asks_the_others_now_and_then_so_that_it_notices_when_one_has_become_quicker(words: memoryview) -> None:
    async def scenario() -> tuple[list[str], float]:
        manner = Manner(fastest=True, attempt_s=0.5, query_s=1)
        async with fake(well) as first, fake(well) as second, upstreams(words, first, second, manner=manner) as asker:
            for upstream, latency in zip(asker._roster.all, (0.2, 0.001), strict=True):
                upstream.latency, upstream.asked = latency, asker._loop.time()
            asker._roster.all[0].asked -= health.PROBE_S
            await ask(asker)
            await asyncio.sleep(0.05)
            await ask(asker)
            names = [dns.message.from_wire(wire).question[0].to_text() for wire in first.asked]
            return names, asker._roster.all[0].latency

    names, latency = run(scenario)
    assert names == [". IN NS"], "asked once, for what nobody's device has asked for"
    assert latency < 0.2


def test_whether_one_that_is_down_is_back_is_asked_beside_the_clients_and_ever_more_rarely(words: memoryview) -> None:
    async def scenario() -> tuple[list[int], list[float]]:
        manner = Manner(fastest=False, attempt_s=0.01, query_s=0.5)
        asked: list[int] = []
        waits: list[float] = []
        async with fake(nothing) as dead, fake(well) as good, upstreams(words, dead, good, manner=manner) as asker:
            for _ in range(health.DOWN_AFTER):
                await ask(asker)
            down = asker._roster.all[0]
            for _ in range(3):
                asked.append(len(dead.asked))
                waits.append(down.down_s)
                down.down_until = asker._loop.time() - 0.001  # the time has come
                for _ in range(5):
                    assert address(await ask(asker)) == GOOD
                await asyncio.sleep(0.03)
            dead.say = well
            down.down_until = asker._loop.time() - 0.001
            await ask(asker)
            await asyncio.sleep(0.03)
            return asked, [*waits, down.down_until]

    asked, waits = run(scenario)
    assert [later - earlier for earlier, later in pairwise(asked)] == [1, 1]
    assert waits == [2.0, 4.0, 8.0, 0.0]


def test_questions_on_their_way_are_forgotten_when_all_is_closed(words: memoryview) -> None:
    async def scenario() -> list[Answer | Failure]:
        told: list[Answer | Failure] = []
        async with fake(lambda query: (answer(query, tc=True),), lambda query: ()) as cut, fake(nothing) as silent:
            async with upstreams(words, silent, cut) as asker:
                for _ in range(40):
                    asker.ask(QUESTION, told.append)
                await asyncio.sleep(0.15)
            await asyncio.sleep(0)
        return told

    assert run(scenario) == []


def test_each_query_and_the_time_of_its_answer_is_counted(words: memoryview) -> None:
    one(words, in_turn(nothing, well))
    assert words[word("upstream_queries", "0")] == 2
    first = word("upstream_duration_seconds", "0")
    assert sum(int(words[first + place]) for place in range(len(UPSTREAM_BUCKETS) + 1)) == 1


# Letters of random case


MIXED = replace(QUICK, mixed_case=True)


def test_u2_a_query_in_random_letters_is_answered_by_who_repeats_them(words: memoryview) -> None:
    async def scenario() -> list[bytes]:
        async with fake(well) as only, upstreams(words, only, manner=MIXED) as asker:
            for _ in range(20):
                assert address(await ask(asker)) == GOOD
            return only.asked

    names = {wire[12:25] for wire in run(scenario)}
    assert {name.lower() for name in names} == {QUESTION.qname}
    assert len(names) > 10
    assert failures(words, "mismatch") == 0


def test_u2_an_answer_in_other_letters_is_asked_for_over_tcp_and_after_three_without(words: memoryview) -> None:
    def lower(query: bytes) -> Sequence[bytes]:
        return (
            answer(query[:12] + query[12:25].lower() + query[25:], OTHER if query[12:25] != QUESTION.qname else GOOD),
        )

    async def scenario() -> tuple[int, bytes]:
        async with fake(lower, well) as only, upstreams(words, only, manner=MIXED) as asker:
            for _ in range(health.CASE_LOST_MAX):
                assert address(await ask(asker)) == GOOD
            over_tcp = len(only.streamed)
            assert address(await ask(asker)) == GOOD
            return over_tcp, only.asked[-1][12:25]

    assert run(scenario) == (health.CASE_LOST_MAX, QUESTION.qname)
    assert failures(words, "mismatch") == health.CASE_LOST_MAX


def test_u2_where_there_is_no_tcp_the_next_upstream_is_asked(words: memoryview) -> None:
    def lower(query: bytes) -> Sequence[bytes]:
        return (answer(query[:12] + query[12:25].lower() + query[25:], OTHER),)

    async def scenario() -> Answer | Failure:
        async with fake(lower) as first, fake(well) as second, upstreams(words, first, second, manner=MIXED) as asker:
            return await ask(asker)

    assert address(run(scenario)) == GOOD


def test_u2_only_letters_change_and_any_of_them() -> None:
    name = parse("a1-z_.test")
    assert mixed(name, lambda: 0) == name
    assert mixed(name, lambda: 0xFFFF) == name.upper()
    assert mixed(b"\x03\xe4@[\0", lambda: 0xFFFF) == b"\x03\xe4@[\0"
