"""What tests of the record are made of: a block, a spool entry, owners, and everything that a log says."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

from enforcer.attempts.block import Block, Recorded, Response, encode_block, with_client
from enforcer.attempts.keys import published
from enforcer.attempts.log import read
from enforcer.attempts.report import Report
from enforcer.attempts.verify import verify_log
from enforcer.devices.device import Binding, Device, Source
from enforcer.devices.inventory import Inventory
from enforcer.devices.registry import Registry
from enforcer.policy.verdict import Layer

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC

BLOCK = Block(
    layer=Layer.DNS,
    action=Recorded.BLOCKED,
    response=Response.NXDOMAIN,
    service="chat",
    part="messaging",
    evidence="app",
    ban=None,
    ruleset="0123456789ab",
    rule="chat/suffix/chat.test",
    rule_kind="suffix",
    name="a.chat.test",
    via=None,
    qtype="A",
    rcode="NXDOMAIN",
    ede=15,
    alpn=None,
    ech=None,
    transport="udp",
    dest_ip=None,
    dest_port=None,
    realm="lab",
)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def spooled(client_ip: str | None = "192.0.2.1", name: str = "a.chat.test", **changes: object) -> bytes:
    """A spool entry as a worker makes it."""
    block = replace(BLOCK, name=name, **changes)  # type: ignore[arg-type]
    return with_client(encode_block(block), client_ip, 40_000)


def registry(*devices: tuple[str, str]) -> Registry:
    """Devices of the realm `lab`, each with its address."""
    known = {device: Device(device, "team") for device, _ in devices}
    bindings = tuple(Binding("lab", ip_network(ip), device, "team", Source.NETWORK) for device, ip in devices)
    return Registry(Inventory(tuple(known.values()), bindings=bindings))


def logged(folder: Path) -> list[dict[str, object]]:
    """Every line of a log, as plain values."""
    return [json.loads(line) for line, _, _ in read(folder)]


def whole(folder: Path) -> Report:
    """What verifying a log says, which must be that it is whole."""
    report = verify_log(folder, published(folder))
    assert report.damage is None, report.damage
    return report
