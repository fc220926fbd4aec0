"""Devices in network namespaces of their own: IPv4 and IPv6, port 53, and a stranger who is routed to us."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.lan import Answer, Service, Unbound, dig, total
from tests.tools import need, need_namespaces

GATEWAY = ("192.0.2.53", "2001:db8:20::53")
DEVICES = "id,group,addresses\nphone,field,192.0.2.7 2001:db8:20::7\n"


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, joined to the gateway's by a cable."""

    name: str

    @property
    def inside(self) -> tuple[str, ...]:
        return need("ip"), "netns", "exec", self.name

    def dig(self, address: str, *words: str) -> Answer:
        return dig(address, 53, *words, inside=self.inside)


@dataclass(frozen=True, slots=True)
class Lan:
    phone: Host
    guest: Host
    stranger: Host
    service: Service
    upstream: Unbound


def ip(*words: str) -> None:
    subprocess.run([need("ip"), *words], check=True)


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    need_namespaces()
    folder = tmp_path_factory.mktemp("lan")
    names = [f"enf{os.getpid()}-{each}" for each in ("gateway", "phone", "guest", "stranger")]
    gateway, *hosts = names
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", gateway, "link", "add", "lan", "type", "bridge")
        cables = (
            ("192.0.2.7/24", "2001:db8:20::7/64"),
            ("192.0.2.9/24", "2001:db8:20::9/64"),
            ("198.51.100.9/24", "2001:db8:66::9/64"),
        )
        for number, (host, addresses) in enumerate(zip(hosts, cables, strict=True)):
            cable = f"eth{number}"
            ip("-n", gateway, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", gateway, "link", "set", cable, "master", "lan", "up")
            ip("-n", host, "link", "set", "eth0", "up")
            for address in addresses:
                ip("-n", host, "address", "add", address, "dev", "eth0", *nodad(address))
        ip("-n", gateway, "link", "set", "lan", "up")
        for address in ("192.0.2.53/24", "198.51.100.53/24", "2001:db8:20::53/64", "2001:db8:66::53/64"):
            ip("-n", gateway, "address", "add", address, "dev", "lan", *nodad(address))
        ip("-n", hosts[2], "route", "add", "192.0.2.0/24", "via", "198.51.100.53")
        ip("-n", hosts[2], "route", "add", "2001:db8:20::/64", "via", "2001:db8:66::53")
        yield from served(folder, Host(gateway).inside, [Host(host) for host in hosts])
    finally:
        for name in names:
            subprocess.run([need("ip"), "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def nodad(address: str) -> tuple[str, ...]:
    """No waiting for whether somebody else has an IPv6 address."""
    return ("nodad",) if ":" in address else ()


def served(folder: Path, inside: tuple[str, ...], hosts: list[Host]) -> Iterator[Lan]:
    with (
        Unbound(folder / "unbound", inside=inside) as upstream,
        Service(folder / "service", upstream.url, inside=inside, devices=DEVICES) as service,
    ):
        listeners = []
        for name, at in zip(("dns4", "dns6"), ("192.0.2.53:53", "[2001:db8:20::53]:53"), strict=True):
            listeners.append({"name": name, "udp": at, "tcp": at})
        service.change(
            **{
                "realms": [
                    {
                        "name": "apn-gov",
                        "networks": ["192.0.2.0/24", "2001:db8:20::/48"],
                        "listeners": ["dns4", "dns6"],
                    }
                ],
                "resolver.listeners": listeners,
                "policy.exemptions": [],
            }
        )
        phone, guest, stranger = hosts
        yield Lan(phone, guest, stranger, service.start(), upstream)


@pytest.mark.parametrize("options", [(), ("+tcp",)])
@pytest.mark.parametrize("address", GATEWAY)
def test_a_blocked_name_does_not_exist_for_a_phone_and_is_recorded(
    lan: Lan, address: str, options: tuple[str, ...]
) -> None:
    name = f"{'six' if ':' in address else 'four'}{''.join(options)[1:]}.blocked.test"
    answer = lan.phone.dig(address, name, *options)
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    [record] = lan.service.recorded(1, name=name)
    assert (record["device"], record["realm"], record["identity"]["source"]) == ("phone", "apn-gov", "network")
    assert record["client_ip"] == ("2001:db8:20::7" if ":" in address else "192.0.2.7")
    assert record["transport"] == ("tcp" if options else "udp")
    assert name not in lan.upstream.asked


@pytest.mark.parametrize("address", GATEWAY)
def test_an_allowed_name_is_answered(lan: Lan, address: str) -> None:
    assert lan.phone.dig(address, "www.test").data == ["192.0.2.10"]
    assert lan.phone.dig(address, "big.test", "TXT").data[0].count("x" * 200) == 12


def test_a_device_that_the_inventory_does_not_know_is_recorded_as_unknown(lan: Lan) -> None:
    for address in GATEWAY:
        assert lan.guest.dig(address, "guest.blocked.test").status == "NXDOMAIN"
    lines = lan.service.recorded(2, name="guest.blocked.test")
    assert {(line["device"], line["client_ip"]) for line in lines} == {(None, "192.0.2.9"), (None, "2001:db8:20::9")}
    assert total(lines) == 2


@pytest.mark.parametrize("options", [(), ("+tcp",)])
@pytest.mark.parametrize("address", GATEWAY)
def test_a_stranger_is_refused_and_leaves_no_trace(lan: Lan, address: str, options: tuple[str, ...]) -> None:
    for name in ("stranger.blocked.test", "stranger.ok.test"):
        answer = lan.stranger.dig(address, name, *options)
        assert (answer.status, answer.ede, answer.answer) == ("REFUSED", "18 (Prohibited)", [])
    lan.phone.dig(address, "fence.blocked.test")
    lan.service.recorded(1, name="fence.blocked.test")
    assert not [name for name in lan.upstream.asked if name.startswith("stranger")]
    files = [path.read_bytes() for path in lan.service.data.rglob("*") if path.is_file()]
    for trace in (b"stranger", b"198.51.100.9", b"2001:db8:66::9"):
        assert not [data for data in [*files, lan.service.stderr.encode()] if trace in data]
