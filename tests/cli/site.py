"""A small site: a configuration, a list, an inventory, and what its log says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from click.testing import Result

from enforcer.attempts.attempt import Attempt, Entry, Event
from enforcer.attempts.block import Recorded
from enforcer.attempts.log import DayLog
from enforcer.cli.context import HERE
from enforcer.devices.registry import NOBODY
from enforcer.folders import Folders
from tests.records import BLOCK, NOON_MS, moment, registry

type Run = Callable[..., Result]

OWNERS = registry(("dev-1", "10.20.0.5"), ("dev-2", "10.20.0.6"))

LIST = """\
service: chat
ban: dept-2026-04
title: {en: Chat, fr: Clavardage}
vendor: Example Ltd.
version: 2026.11.1
sources:
  DOC: "docs.chat.test/network: the vendor's page on firewalls"
  CAP: "our own capture"
rules:
  - {suffix: chat.test, part: general, evidence: shared, confidence: official, source: "DOC, CAP", seen: 2026-04-02}
  - {suffix: msg.chat.test, part: messaging, evidence: app, confidence: single, source: CAP, seen: 2026-04}
  - {exact: cdn.test, part: media, evidence: web, confidence: single, source: CAP, seen: 2026}
  - {http_path: /chat/, part: messaging, evidence: app, confidence: single, source: CAP, seen: 2026}
  - {cidr: 203.0.113.0/24, ports: [udp/853], part: messaging, evidence: shared, confidence: single, source: CAP,
     seen: 2026, expires: 2026-12-24}
  - {cidr: 198.51.100.7/32, part: messaging, evidence: shared, confidence: single, source: CAP, seen: 2026}
never_block:
  - {suffix: mail.test, why: "the department's own mail", source: DOC}
"""

DEVICES = """\
id,group,addresses
dev-1,field,10.20.0.5 2001:db8:20::/64
dev-2,laboratory,10.20.0.6
,visitors,10.20.9.0/24
"""

CONFIG: dict[str, object] = {
    "node": "gw-1",
    "data_dir": "data",
    "policy": {
        "lists": ["chat.yaml"],
        "ban": "tbs-2023-10-30",
        "exemptions": [
            {
                "group": "laboratory",
                "services": ["chat"],
                "until": "2027-03-31",
                "reason": "malware laboratory",
                "approved_by": "Director",
            }
        ],
    },
    "realms": [{"name": "lab", "networks": ["10.20.0.0/16", "2001:db8:20::/48"], "listeners": ["dns"]}],
    "resolver": {
        "listeners": [{"name": "dns", "udp": "127.0.0.1:5300", "tcp": "127.0.0.1:5300"}],
        "upstreams": ["udp://192.0.2.53"],
    },
    "identity": {"inventory": {"file": "devices.csv"}},
}


def attempt(number: int, client_ip: str | None = "10.20.0.5", count: int = 1, **changes: object) -> Attempt:
    """The attempts of row `number`, so many minutes after noon."""
    time_ms = NOON_MS + number * 60_000
    return Attempt(
        ulid_ms=time_ms,
        time_ms=time_ms,
        last_ms=time_ms,
        node="gw-1",
        worker="dns-0",
        epoch=NOON_MS,
        first=(number << 32) + 1,
        to=(number << 32) + count,
        block=replace(BLOCK, **changes),  # type: ignore[arg-type]
        client_ip=client_ip,
        client_port=None if client_ip is None else 40_000,
        owner=NOBODY if client_ip is None else OWNERS.owner("lab", ip_address(client_ip), moment(time_ms)),
    )


ENTRIES: tuple[Entry, ...] = (
    Event("start", NOON_MS, "gw-1", {"version": "0.1.0"}),
    attempt(1),
    attempt(2, count=41),
    attempt(3, client_ip="10.20.0.6", service="talk", part="site", name="www.talk.test", rule="talk/suffix/talk.test"),
    attempt(4, client_ip="10.20.0.99", action=Recorded.OBSERVED, response=None, rcode=None, ede=None),
)


def write_log(folders: Folders, entries: Sequence[Entry], ms: int) -> None:
    """Append to the log, as the hub does."""
    log = DayLog(folders.log)
    log.append(entries, moment(ms))
    log.close()


def write_config(site: Path, values: dict[str, object]) -> None:
    """Write the site's configuration: JSON is YAML."""
    (site / HERE).write_text(json.dumps(values))
