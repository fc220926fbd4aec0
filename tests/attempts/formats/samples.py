"""Lines of the log of every kind, also with texts that attack a receiver."""

from dataclasses import replace

from enforcer.attempts.attempt import Attempt, Entry, Event
from enforcer.attempts.block import Recorded, Response
from enforcer.attempts.chain import GENESIS, seal
from enforcer.attempts.formats.record import Logged, Notice, Record, read_record
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.registry import NOBODY
from enforcer.policy.verdict import Layer
from tests.records import BLOCK, NOON_MS

OWNER = Owner(
    "dev-7f3a91c2", "field", Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 412, Granularity.DEVICE)
)

HOSTILE = 'x\r\n\0\t\x1b[31m|=]"\\\u202e\u2028,;=cmd'
"""CR, LF, NUL, tab, ESC, and what each format quotes with or turns text round with."""


def attempt(**changes: object) -> Attempt:
    return Attempt(
        NOON_MS,
        NOON_MS,
        NOON_MS + 1500,
        "gw1",
        "dns-0",
        1,
        1,
        3,
        replace(BLOCK, ban="tbs-2023-10-30", **changes),  # type: ignore[arg-type]
        "10.20.30.40",
        49731,
        OWNER,
    )


DNS = attempt()
TLS = attempt(
    layer=Layer.TLS,
    response=Response.ALERT,
    evidence="web",
    name="ds.chat.test",
    qtype=None,
    rcode=None,
    ede=None,
    alpn=("h2", "http/1.1"),
    ech=False,
    transport="tcp",
    dest_ip="198.51.100.20",
    dest_port=443,
)
SAMPLES: dict[str, Entry] = {
    "dns": DNS,
    "tls": TLS,
    "reset": replace(TLS, block=replace(TLS.block, response=Response.RESET)),
    "quic": replace(TLS, block=replace(TLS.block, layer=Layer.QUIC, transport="udp")),
    "mmtls": replace(TLS, block=replace(TLS.block, layer=Layer.MMTLS, name=None, rule_kind="fingerprint")),
    "ip": replace(TLS, block=replace(TLS.block, layer=Layer.IP, name=None, response=Response.REJECT, transport="udp")),
    "observed": attempt(action=Recorded.OBSERVED, response=None, rcode=None, ede=None),
    "nobody": replace(DNS, owner=NOBODY, client_ip=None, client_port=None),
    "hostile": replace(
        attempt(name=HOSTILE, rule=f"chat/regex/{HOSTILE}", via=HOSTILE),
        node=HOSTILE,
        owner=replace(OWNER, device=HOSTILE, group=HOSTILE),
    ),
    "start": Event("start", NOON_MS, "gw1", {"version": "0.1.0", "pid": 7}),
    "loss": Event("loss", NOON_MS, "gw1", {"count": 9, "nested": {"id": 1, "list": [1]}, "none": None, "on": True}),
    "mark": Event("mark", NOON_MS, "gw1", {"note": HOSTILE * 40, "who": HOSTILE}),
}


def line_of(entry: Entry) -> bytes:
    return seal(GENESIS, entry.body(18421, NOON_MS + 2000))[:-1]


def record(name: str) -> Record:
    return read_record(line_of(SAMPLES[name]))


def logged(name: str) -> Logged:
    found = record(name)
    assert isinstance(found, Logged)
    return found


def notice(name: str) -> Notice:
    found = record(name)
    assert isinstance(found, Notice)
    return found


def harmless(text: str) -> bool:
    """Whether a line holds nothing that ends it, commands a terminal, or turns it round."""
    return text.isprintable()
