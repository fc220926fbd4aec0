import pytest

from enforcer.errors import Malformed
from enforcer.policy.rules import Kind
from enforcer.policy.triggers import read_trigger


@pytest.mark.parametrize(
    ("kind", "text", "trigger"),
    [
        (Kind.EXACT, "Chat.Test.", "chat.test"),
        (Kind.SUFFIX, "bücher.test", "xn--bcher-kva.test"),
        (Kind.SUFFIX, "test", "test"),
        (Kind.REGEX, r"^wx[0-9]+\.qq\.test$", r"^wx[0-9]+\.qq\.test$"),
        (Kind.CIDR, "203.0.113.0/24", "203.0.113.0/24"),
        (Kind.CIDR, "2001:DB8:0::/48", "2001:db8::/48"),
        (Kind.FINGERPRINT, "mmtls", "mmtls"),
        (Kind.HTTP_PATH, "/mmtls/", "/mmtls/"),
        (Kind.HTTP_PATH, "DL.chat.test/app/", "dl.chat.test/app/"),
        (Kind.HTTP_PATH, "dl.chat.test/", "dl.chat.test/"),
    ],
)
def test_a_trigger_has_one_form(kind: Kind, text: str, trigger: str) -> None:
    assert read_trigger(kind, text) == trigger


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        (Kind.EXACT, "wechat,com", '"wechat,com" is not a domain name; did you mean "wechat.com"?'),
        (Kind.SUFFIX, ".", '"." is not a domain name that can be blocked; write a whole name'),
        (Kind.EXACT, "203.0.113.7", '"203.0.113.7" is an address, not a name; write "cidr: 203.0.113.7/32"'),
        (Kind.EXACT, "2001:db8::1", '"2001:db8::1" is an address, not a name; write "cidr: 2001:db8::1/128"'),
        (Kind.EXACT, "1.2.3.999", '"1.2.3.999" is not a domain name that can be blocked; write a whole name'),
        (Kind.CIDR, "203.0.113.7/24", 'network "203.0.113.7/24" has bits behind its prefix; write "203.0.113.0/24"'),
        (Kind.CIDR, "203.0.113.7", 'network "203.0.113.7" has no prefix length; write "203.0.113.7/32" for it alone'),
        (Kind.CIDR, "chat.test", '"chat.test" is not a network; write one as in "203.0.113.0/24" or "2001:db8::/48"'),
        (
            Kind.CIDR,
            "fe80::%1/64",
            '"fe80::%1/64" is not a network; write one as in "203.0.113.0/24" or "2001:db8::/48"',
        ),
        (
            Kind.CIDR,
            "::ffff:203.0.113.0/120",
            'network "::ffff:203.0.113.0/120" is IPv4 inside IPv6; write "203.0.113.0/24"',
        ),
        (
            Kind.CIDR,
            "16.0.0.0/4",
            'network "16.0.0.0/4" is a good part of the Internet; name its ports, or narrower networks',
        ),
        (Kind.FINGERPRINT, "ja3", 'fingerprint "ja3" is not known; write one of mmtls'),
        (Kind.HTTP_PATH, "mmtls", 'path "mmtls" has no slash; write "/mmtls", or "host/path"'),
        (Kind.HTTP_PATH, "/", 'path "/" is every page of every host; write more of the path, or "host/"'),
        (Kind.HTTP_PATH, "/a b", 'path "/a b" has a blank or other scripts; write it percent-encoded, as it is sent'),
        (Kind.HTTP_PATH, "/" + "a" * 201, "path of 201 characters; write its first 200, or fewer"),
        (Kind.HTTP_PATH, "a..b/x", '"a..b" is not a domain name; did you mean "a.b"?'),
    ],
)
def test_what_cannot_be_a_trigger_is_answered_with_what_to_write(kind: Kind, text: str, what: str) -> None:
    with pytest.raises(Malformed) as error:
        read_trigger(kind, text)
    assert error.value.what == what


def test_a_network_may_be_everything_when_ports_are_named() -> None:
    assert read_trigger(Kind.CIDR, "0.0.0.0/0", with_ports=True) == "0.0.0.0/0"
