import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.http import HEAD_MAX, hosts_in, is_http, normal_path, read_request

PLAIN = b"GET /a?b HTTP/1.1\r\nHost: chat.test:80\r\nX: y\r\n\r\n"


def test_a_head_is_read() -> None:
    request = read_request(PLAIN)
    assert request is not None
    assert (request.method, request.target, request.hosts, request.path) == (b"GET", b"/a?b", (b"chat.test",), b"/a?b")
    assert request.values(b"x") == (b"y",)
    assert request.size == len(PLAIN)


@given(cut=st.integers(0, len(PLAIN) - 1))
def test_every_proper_prefix_asks_for_more(cut: int) -> None:
    assert read_request(PLAIN[:cut]) is None
    assert is_http(PLAIN[:cut]) is not False


@given(st.binary(max_size=30))
def test_what_follows_does_not_change_it(behind: bytes) -> None:
    assert read_request(PLAIN + behind) == read_request(PLAIN)


@pytest.mark.parametrize(
    ("head", "hosts"),
    [
        (b"GET / HTTP/1.1\r\nHost: bad.test\r\nHost: ok.test\r\n\r\n", (b"bad.test", b"ok.test")),
        (b"GET http://bad.test/x HTTP/1.1\r\nHost: ok.test\r\n\r\n", (b"bad.test", b"ok.test")),
        (b"GET http://user@bad.test:8080 HTTP/1.1\r\n\r\n", (b"bad.test",)),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", (b"a.test",)),
        (b"GET / HTTP/1.1\nHost:a.test\n\n", (b"a.test",)),
        (b"GET / HTTP/1.0\r\nhOsT : A.test\r\n\r\n", (b"A.test",)),
        (b"GET / HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n", (b"a.test",)),
        (b"GET / HTTP/1.1\r\nX: 1\rHost: a.test\r\n\r\n", (b"a.test",)),
        (b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", (b"a.test",)),
        (b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n", (b"2001:db8::1",)),
        (b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", (b"a.test",)),
        (b"get a.test HTTP/1.1\r\n\r\n", (b"a.test",)),
        (b"GET / HTTP/1.1\r\nHost: ok.test, bad.test\r\n\r\n", (b"ok.test", b"bad.test")),
        (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", ()),
        (b"GET / HTTP/1.1\r\n\r\n", ()),
        (b"GET /\r\n", ()),
    ],
)
def test_every_host_is_given(head: bytes, hosts: tuple[bytes, ...]) -> None:
    request = read_request(head)
    assert request is not None
    assert request.hosts == hosts
    assert request.size == len(head)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/mmtls/00ab", b"/mmtls/00ab"),
        (b"http://a.test/mmtls/00ab", b"/mmtls/00ab"),
        (b"http://a.test", b"/"),
        (b"http://a.test?x", b"/?x"),
        (b"*", None),
        (b"a.test:443", None),
        (b"/a b", b"/a b"),
    ],
)
def test_the_path_of_each_form_of_target(target: bytes, path: bytes | None) -> None:
    request = read_request(b"POST " + target + b" HTTP/1.1\r\n\r\n")
    assert request is not None
    assert request.path == path


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/mmtls/./00ab?x=//..", "/mmtls/00ab?x=//.."),
        (b"/%6dmtls/%2e/a", "/mmtls/a"),
        (b"//mmtls///a", "/mmtls/a"),
        (b"/x/../mmtls/", "/mmtls/"),
        (b"/../../a/.", "/a/"),
        (b"/a%20b%zz", "/a%20b%zz"),
        (b"/MMTLS/", "/MMTLS/"),
        (b"/\xff", "/\xff"),
        (b"", "/"),
    ],
)
def test_the_form_in_which_paths_are_compared(path: bytes, normal: str) -> None:
    assert normal_path(path) == normal


@given(st.binary(max_size=60))
def test_a_normal_path_stays_as_it_is_once_decoded(path: bytes) -> None:
    once = normal_path(path).partition("?")[0]
    assert once.startswith("/")
    assert "//" not in once
    assert not {".", ".."} & set(once.split("/"))


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6 Debian\r\n",
        b"EHLO mail.test\r\n",
        b"USER a b HTTP\r\n",
        b"\x00\x00\x00\x08",
        b"\x13BitTorrent protocol",
        b"GETGETGETGETGETGETGETGETGETGETGETGET",
        b"GET\r\n",
        b"G\x00",
        b" GET / HTTP/1.1\r\n",
        b"\r\n" * 33,
        b"A" * 20 + b" " + b"x" * HEAD_MAX,
    ],
)
def test_other_protocols_are_no_http(data: bytes) -> None:
    assert is_http(data) is False
    with pytest.raises(Malformed):
        read_request(data)


def test_the_preface_of_http_2_is_http() -> None:
    assert is_http(b"PRI * HTTP/2.0\r\n")


def test_a_head_without_end_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_request(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (HEAD_MAX // 6))


@pytest.mark.parametrize(
    ("text", "hosts"),
    [(b"a.test", (b"a.test",)), (b"[::1]:80", (b"::1",)), (b"x@a.test:1/p", (b"a.test", b"p")), (b" ,", ())],
)
def test_hosts_in_a_value(text: bytes, hosts: tuple[bytes, ...]) -> None:
    assert hosts_in(text) == hosts


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_any_octets_give_a_value_or_none_or_malformed(data: bytes, more: bytes) -> None:
    for each in (data, b"GET / HTTP/1.1\r\n" + data):
        try:
            request = read_request(each)
        except Malformed:
            assert is_http(each) is False or len(each) >= HEAD_MAX
            continue
        assert request is None or read_request(each + more) == request
