"""What people write as a target."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.cli.target import read_target
from enforcer.errors import Malformed
from enforcer.policy.names import parse
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Destination, Layer


def tcp(number: int) -> Port:
    return Port(Transport.TCP, number)


def udp(number: int) -> Port:
    return Port(Transport.UDP, number)


CHAT = parse("chat.test")
FOUR, SIX = ip_address("192.0.2.1"), ip_address("2001:db8::1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Chat.Test.", [Destination(Layer.DNS, name=CHAT)]),
        ("192.0.2.1", [Destination(Layer.IP, address=FOUR)]),
        ("2001:db8::1", [Destination(Layer.IP, address=SIX)]),
        ("[2001:db8::1]", [Destination(Layer.IP, address=SIX)]),
        ("chat.test:443", [Destination(Layer.TLS, name=CHAT, port=tcp(443))]),
        ("chat.test:80", [Destination(Layer.HTTP, name=CHAT, port=tcp(80))]),
        ("192.0.2.1:853", [Destination(Layer.IP, address=FOUR, port=each) for each in (tcp(853), udp(853))]),
        ("[2001:db8::1]:853", [Destination(Layer.IP, address=SIX, port=each) for each in (tcp(853), udp(853))]),
        ("https://chat.test/secret", [Destination(Layer.TLS, name=CHAT, port=tcp(443))]),
        ("https://192.0.2.1:8443/", [Destination(Layer.TLS, address=FOUR, port=tcp(8443))]),
        ("http://chat.test", [Destination(Layer.HTTP, name=CHAT, port=tcp(80), path="/")]),
        ("HTTP://u:p@Chat.test:8080/a/B?c#d", [Destination(Layer.HTTP, name=CHAT, port=tcp(8080), path="/a/B?c")]),
        ("http://[2001:db8::1]/mmtls/x", [Destination(Layer.HTTP, address=SIX, port=tcp(80), path="/mmtls/x")]),
    ],
)
def test_each_form_is_what_one_layer_shows(text: str, expected: list[Destination]) -> None:
    assert list(read_target(text)) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("chat,test", '"chat,test" is not a domain name; did you mean "chat.test"?'),
        ("1.2.3", '"1.2.3" is neither a name nor an address; write a name, an address, "host:port" or a URL'),
        (
            "[2001:db8::1:443",
            '"[2001:db8::1:443" lacks a bracket; write an address with its port as in "[2001:db8::1]:443"',
        ),
        ("chat.test:0", '"chat.test:0" has no port from 1 to 65535; write a name, an address, "host:port" or a URL'),
        (
            "ftp://chat.test/",
            '"ftp://chat.test/" is not an http or https URL; write one, as in "http://www.example.com/path"',
        ),
        ("fe80::1%eth0", '"fe80::1%eth0" is not a domain name'),
        (".", '"." is neither a name nor an address; write a name, an address, "host:port" or a URL'),
    ],
)
def test_what_is_no_target_is_told_what_to_write(text: str, what: str) -> None:
    with pytest.raises(Malformed) as caught:
        read_target(text)
    assert caught.value.what == what


@given(st.text() | st.from_regex(r"(https?://)?[a-z0-9.\[\]:%-]*(:[0-9]*)?(/.*)?", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Malformed):
        assert read_target(text)
