from ipaddress import ip_address

import pytest

from enforcer.config.values import Upstream
from enforcer.processes.upstreams import nameservers, upstreams_of
from tests.processes.site import Site


def test_upstreams_are_as_configured(site: Site) -> None:
    site.resolver["upstreams"] = ["udp://192.0.2.1", "udp://[2001:db8::1]:5353"]
    assert upstreams_of(site.config) == (Upstream(ip_address("192.0.2.1")), Upstream(ip_address("2001:db8::1"), 5353))


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:5300", ("127.0.0.1", "127.0.0.53", "192.0.2.7", "::1")),
        ("127.0.0.1:53", ("127.0.0.53", "192.0.2.7", "::1")),
        ("0.0.0.0:53", ("192.0.2.7", "::1")),
        ("[::1]:53", ("127.0.0.1", "127.0.0.53", "192.0.2.7")),
        ("192.0.2.7:53", ("127.0.0.1", "127.0.0.53", "::1")),
    ],
)
def test_auto_asks_the_name_servers_of_this_machine_but_never_ourselves(
    site: Site, listen: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = site.folder / "resolv.conf"
    conf.write_text(
        "search corp.test\nnameserver 127.0.0.1\nnameserver 127.0.0.53\nnameserver x\nnameserver 192.0.2.7\n"
        "nameserver ::1\n"
    )
    monkeypatch.setattr("enforcer.processes.upstreams.RESOLV_CONF", conf)
    site.resolver |= {"upstreams": "auto", "listeners": [{"name": "dns", "udp": listen, "tcp": listen}]}
    assert upstreams_of(site.config) == tuple(Upstream(ip_address(address)) for address in expected)


@pytest.mark.parametrize("content", [None, b"", b"nameserver 127.0.0.1\n", b"nameserver \xff\n"])
def test_auto_without_a_name_server_asks_nobody(
    site: Site, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = site.folder / "resolv.conf"
    if content is not None:
        conf.write_bytes(content)
    monkeypatch.setattr("enforcer.processes.upstreams.RESOLV_CONF", conf)
    site.resolver |= {"upstreams": "auto", "listeners": [{"name": "dns", "udp": "127.0.0.1:53", "tcp": "127.0.0.1:53"}]}
    assert upstreams_of(site.config) == ()


def test_the_name_servers_of_a_resolv_conf_are_read_in_order() -> None:
    lines = ["# nameserver 192.0.2.9", "search test", "nameserver 192.0.2.1", "nameserver  2001:db8::1 # v6"]
    assert nameservers("\n".join([*lines, "nameserver x", "nameserver", ""])) == (
        ip_address("192.0.2.1"),
        ip_address("2001:db8::1"),
    )
    assert nameservers("nameserver fe80::1%eth0") == (ip_address("fe80::1"),)
