r"""CEF 0 (ArcSight, Sentinel): the header escapes `\` and `|`, the extension `\` and `=`; there are no line ends.

deviceExternalId is the node, shost the device.
"""

from enforcer import __version__
from enforcer.attempts.formats.record import PRODUCT, VENDOR, Logged, Notice, Record, Value, plain
from enforcer.policy.verdict import Layer

_NAMES = {
    Layer.DNS: "DNS query",
    Layer.TLS: "TLS connection",
    Layer.QUIC: "QUIC connection",
    Layer.HTTP: "HTTP request",
    Layer.MMTLS: "MMTLS connection",
    Layer.IP: "Connection",
}


def cef(record: Record) -> str:
    """One event on one line."""
    if isinstance(record, Notice):
        fields = _notice(record)
        name, severity = f"Enforcer: {record.kind}", 8 if record.serious else 1
    else:
        fields = _attempt(record)
        name = f"{_NAMES[record.attempt.block.layer]} {record.attempt.block.action} by policy"
        severity = 1 if not record.blocked else 6 if record.strong else 4
    header = "|".join(map(_header, (VENDOR, PRODUCT, __version__, record.kind, name, str(severity))))
    extension = " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value is not None)
    return f"CEF:0|{header}|{extension}"


def _attempt(logged: Logged) -> dict[str, Value]:
    attempt, block = logged.attempt, logged.attempt.block
    identity = attempt.owner.identity
    network = logged.network
    return {
        "rt": attempt.time_ms,
        "start": attempt.time_ms,
        "end": attempt.last_ms,
        "externalId": logged.id,
        "act": block.action.value,
        "app": block.layer.value.upper(),
        "proto": None if network is None else network.upper(),
        "src": attempt.client_ip,
        "spt": attempt.client_port,
        "shost": attempt.owner.device,
        "dst": block.dest_ip,
        "dpt": block.dest_port,
        "dhost": block.name,
        "reason": block.rcode,
        "cnt": attempt.count,
        "cat": block.part,
        **_labelled("cn1", "EDE", block.ede),
        **_labelled("cn2", "Sequence", logged.seq),
        **_labelled("cs1", "Policy", block.ban),
        **_labelled("cs2", "Service", block.service),
        **_labelled("cs3", "Rule", block.rule),
        **_labelled("cs4", "QueryType", block.qtype),
        **_labelled("cs5", "Identity", f"{identity.source}/{identity.confidence}"),
        **_labelled("cs6", "Evidence", block.evidence),
        "deviceExternalId": attempt.node,
    }


def _notice(notice: Notice) -> dict[str, Value]:
    return {
        "rt": notice.time_ms,
        "externalId": notice.id,
        **_labelled("cn2", "Sequence", notice.seq),
        "msg": notice.summary,
        "deviceExternalId": notice.node,
    }


def _labelled(field: str, label: str, value: Value) -> dict[str, Value]:
    """A custom field with what it means; neither where there is no value."""
    return {} if value is None else {field: value, f"{field}Label": label}


def _header(text: str) -> str:
    return plain(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: Value) -> str:
    return plain(str(value)).replace("\\", "\\\\").replace("=", "\\=")
