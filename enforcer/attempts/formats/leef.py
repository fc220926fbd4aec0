r"""LEEF 2.0 (QRadar): attributes between tabs. It has no escapes: nothing that ends an attribute or a line gets in."""

from enforcer import __version__
from enforcer.attempts.attempt import moment
from enforcer.attempts.formats.record import PRODUCT, VENDOR, Notice, Record, Value, plain

_TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSX"


def leef(record: Record) -> str:
    """One event on one line."""
    fields: dict[str, Value] = {"devTime": moment(record.time_ms), "devTimeFormat": _TIME_FORMAT}
    if isinstance(record, Notice):
        fields |= {"cat": "enforcer", "sev": 8 if record.serious else 1, "msg": record.summary}
    else:
        attempt, block = record.attempt, record.attempt.block
        identity = attempt.owner.identity
        fields |= {
            "cat": block.service,
            "sev": 1 if not record.blocked else 6 if record.strong else 4,
            "src": attempt.client_ip,
            "srcPort": attempt.client_port,
            "dst": block.dest_ip,
            "dstPort": block.dest_port,
            "proto": None if record.network is None else record.network.upper(),
            "policy": block.ban,
            "rule": block.rule,
            "part": block.part,
            "evidence": block.evidence,
            "action": block.action.value,
            "layer": block.layer.value,
            "domain": block.name,
            "queryType": block.qtype,
            "responseCode": block.rcode,
            "realm": block.realm,
            "deviceId": attempt.owner.device,
            "deviceGroup": attempt.owner.group,
            "identity": f"{identity.source}/{identity.confidence}",
            "count": attempt.count,
            "lastTime": moment(attempt.last_ms),
        }
    fields |= {"node": record.node, "eventId": record.id, "sequence": record.seq}
    header = "|".join(map(_header, (VENDOR, PRODUCT, __version__, record.kind)))
    attributes = "\t".join(f"{key}={plain(str(value))}" for key, value in fields.items() if value is not None)
    return f"LEEF:2.0|{header}|x09|{attributes}"


def _header(text: str) -> str:
    return plain(text).replace("|", "/")
