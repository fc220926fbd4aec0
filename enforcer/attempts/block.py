"""What a worker knows of a blocked attempt: everything but the device behind the address.

A `Block` needs a verdict that blocks or observes, so allowed traffic cannot be written down.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from enforcer.errors import Corrupt
from enforcer.policy.names import display
from enforcer.policy.verdict import Action, Layer, Verdict
from enforcer.wire.name import Name


class Recorded(StrEnum):
    """What happened to the attempt, in the record's words."""

    BLOCKED = "blocked"
    OBSERVED = "observed"


class Response(StrEnum):
    """How a blocked attempt was answered."""

    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    NULL = "null"
    SINKHOLE = "sinkhole"
    ALERT = "alert"
    PAGE = "page"
    RESET = "reset"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Block:
    """One blocked question or connection, without whose it was: the same for every client of a realm.

    Field names, types and None as in the canonical record. name: text, lower case, non-printables escaped.
    via: the chain's name or the address that matched instead of the name.
    """

    layer: Layer
    action: Recorded
    response: Response | None
    service: str
    part: str
    evidence: str
    ban: str | None
    ruleset: str
    rule: str
    rule_kind: str
    name: str | None
    via: str | None
    qtype: str | None
    rcode: str | None
    ede: int | None
    alpn: tuple[str, ...] | None
    ech: bool | None
    transport: str
    dest_ip: str | None
    dest_port: int | None
    realm: str

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        *,
        ruleset: str,
        layer: Layer,
        name: Name | None,
        response: Response,
        transport: str,
        realm: str,
        via: str | None = None,
        qtype: str | None = None,
        rcode: str | None = None,
        ede: int | None = None,
        alpn: tuple[str, ...] | None = None,
        ech: bool | None = None,
        dest_ip: str | None = None,
        dest_port: int | None = None,
    ) -> "Block | None":
        """The block of one question, connection, request or packet; None for a verdict that allows.

        response, rcode, ede: how it was refused; an observed attempt has none of them. via: as the field's; of a
        connection, the address that matched instead of its name. transport: `tcp`, `udp`, or one of DNS. dest_ip: as
        the device asked for it. A question has no alpn, ech, dest_ip and dest_port; a connection no qtype.
        """
        rule = verdict.rule
        if verdict.action is Action.ALLOW or rule is None:
            return None
        blocked = verdict.action is Action.BLOCK
        return cls(
            layer=layer,
            action=Recorded.BLOCKED if blocked else Recorded.OBSERVED,
            response=response if blocked else None,
            service=rule.service,
            part=rule.part,
            evidence=rule.evidence.value,
            ban=rule.ban,
            ruleset=ruleset,
            rule=rule.id,
            rule_kind=rule.kind.value,
            name=None if name is None else display(name),
            via=via,
            qtype=qtype,
            rcode=rcode if blocked else None,
            ede=ede if blocked else None,
            alpn=alpn,
            ech=ech,
            transport=transport,
            dest_ip=dest_ip,
            dest_port=dest_port,
            realm=realm,
        )


FIELDS: tuple[str, ...] = tuple(Block.__dataclass_fields__)


def encode_block(block: Block) -> bytes:
    """The part of a spool entry that all clients share: a JSON array that `with_client` completes."""
    values = [getattr(block, field) for field in FIELDS]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")[:-1]


def with_client(encoded: bytes, client_ip: str | None, client_port: int | None, shown: str | None = None) -> bytes:
    """A whole spool entry; None for a client that must not be written down. shown: as in `Entry`."""
    if client_ip is None:
        return encoded + b",null,null,null]"
    proof = b"null" if shown is None else b'"%b"' % shown.encode("ascii")
    return b'%b,"%b",%d,%b]' % (encoded, client_ip.encode("ascii"), client_port or 0, proof)


@dataclass(frozen=True, slots=True)
class Entry:
    """A spool entry read back: the block and the client's address (None before the users were told).

    shown: what the client has shown of itself beside its address, None for nothing: `certificate:HEX` (SHA-256 of its
    certificate in DER), `token:HEX` (SHA-256 of its token in lower case), or `edns:CODE:HEX` (an option that a
    trusted forwarder has added).
    """

    block: Block
    client_ip: str | None
    client_port: int | None
    shown: str | None = None


def decode_entry(data: bytes) -> Entry:
    """Read what `with_client` wrote. Raises Corrupt when the bytes are anything else."""
    try:
        *values, client_ip, client_port, shown = json.loads(data)
        raw = dict(zip(FIELDS, values, strict=True))
        raw["layer"] = Layer(raw["layer"])
        raw["action"] = Recorded(raw["action"])
        raw["response"] = None if raw["response"] is None else Response(raw["response"])
        raw["alpn"] = None if raw["alpn"] is None else tuple(raw["alpn"])
        return Entry(Block(**raw), client_ip, client_port, shown)
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"spool entry of {len(data)} octets cannot be read: {error}") from error
