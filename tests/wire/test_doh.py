from base64 import urlsafe_b64encode

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.doh import MEDIA_TYPE, QUERY_MAX, Asked, asked, max_age

QUERY = dns.message.make_query("www.example.com", "A", id=0).to_wire()
# RFC 8484 §4.1.1, the first example
EXAMPLE = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"


def test_t5_the_example_of_the_rfc_is_read() -> None:
    assert asked("GET", f"/dns-query?dns={EXAMPLE}", None, b"") == Asked(QUERY, None)
    assert asked("POST", "/dns-query", MEDIA_TYPE, QUERY) == Asked(QUERY, None)


@given(st.binary(min_size=12, max_size=300).map(lambda wire: wire[:2] + b"\1\0" + wire[4:]))
def test_t5_get_and_post_mean_the_same(wire: bytes) -> None:
    encoded = urlsafe_b64encode(wire).rstrip(b"=").decode()
    assert asked("GET", f"/dns-query?x=1&dns={encoded}", None, b"") == Asked(wire, None)
    assert asked("POST", "/dns-query", "Application/DNS-Message; x=y", wire) == Asked(wire, None)


def test_a_token_is_the_one_segment_after_the_path() -> None:
    assert asked("POST", "/dns-query/abc", MEDIA_TYPE, QUERY) == Asked(QUERY, "abc")
    assert asked("GET", f"/dns-query/abc?dns={EXAMPLE}", None, b"") == Asked(QUERY, "abc")


@pytest.mark.parametrize(
    ("method", "target", "content_type", "body", "status"),
    [
        ("POST", "/", MEDIA_TYPE, QUERY, 404),
        ("POST", "/dns-queryx", MEDIA_TYPE, QUERY, 404),
        ("POST", "/dns-query/", MEDIA_TYPE, QUERY, 404),
        ("POST", "/dns-query/a/b", MEDIA_TYPE, QUERY, 404),
        ("PUT", "/dns-query", MEDIA_TYPE, QUERY, 405),
        ("HEAD", "/dns-query", None, b"", 405),
        ("POST", "/dns-query", None, QUERY, 415),
        ("POST", "/dns-query", "application/json", QUERY, 415),
        ("POST", "/dns-query", MEDIA_TYPE, b"", 400),
        ("POST", "/dns-query", MEDIA_TYPE, b"\0\0\x80" + bytes(20), 400),
        ("POST", "/dns-query", MEDIA_TYPE, bytes(QUERY_MAX + 1), 413),
        ("GET", "/dns-query", None, b"", 400),
        ("GET", f"/dns-query?dns={EXAMPLE}=", None, b"", 400),
        ("GET", f"/dns-query?dns={EXAMPLE}&dns={EXAMPLE}", None, b"", 400),
        ("GET", "/dns-query?dns=A", None, b"", 400),
        ("GET", "/dns-query?dns=AAAB%2BAAA", None, b"", 400),
        ("GET", "/dns-query?dns=" + "A" * 23_000, None, b"", 413),
    ],
)
def test_t5_what_is_no_query_has_a_status(
    method: str, target: str, content_type: str | None, body: bytes, status: int
) -> None:
    assert asked(method, target, content_type, body) == status


@given(st.sampled_from(["GET", "POST", "X"]), st.text(max_size=60), st.binary(max_size=60))
def test_any_request_is_a_query_or_an_error(method: str, end: str, body: bytes) -> None:
    found = asked(method, "/dns-query" + end, MEDIA_TYPE, body)
    assert isinstance(found, Asked) or found in {400, 404, 405, 413, 415}


def reply(answers: list[int], soa: tuple[int, int] | None) -> bytes:
    made = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    for number, ttl in enumerate(answers):
        made.answer.append(dns.rrset.from_text(f"{number}.example.com.", ttl, "IN", "A", "192.0.2.1"))
    if soa is not None:
        text = f"ns.example.com. hostmaster.example.com. 1 3600 600 86400 {soa[1]}"
        made.authority.append(dns.rrset.from_text("example.com.", soa[0], "IN", "SOA", text))
    return made.to_wire()


@pytest.mark.parametrize(
    ("answers", "soa", "age"),
    [([300, 20, 60], None, 20), ([], (900, 30), 30), ([], (20, 30), 20), ([300], (60, 60), 60), ([], None, 0)],
)
def test_t5_the_age_is_the_smallest_ttl_and_not_above_what_the_soa_says(
    answers: list[int], soa: tuple[int, int] | None, age: int
) -> None:
    assert max_age(reply(answers, soa)) == age


def test_t5_what_cannot_be_read_is_not_kept() -> None:
    assert max_age(b"x") == 0
