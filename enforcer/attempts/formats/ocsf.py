"""OCSF 1.8: DNS Activity (4003) for the layer dns, Network Activity (4001) for connections, Base Event for notices.

OCSF has no action "Blocked": the action is Denied (2), and Blocked (2) its disposition. What was only observed is the
action Observed (3) with the disposition Logged (17).
"""

from enforcer import __version__
from enforcer.attempts.block import Response
from enforcer.attempts.formats.record import PRODUCT, VENDOR, Logged, Notice, Record, facts, plain
from enforcer.policy.verdict import Layer

VERSION = "1.8.0"

type Json = dict[str, object]

_RCODES = {
    "NOERROR": (0, "NoError"),
    "SERVFAIL": (2, "ServError"),
    "NXDOMAIN": (3, "NXDomain"),
    "REFUSED": (5, "Refused"),
}
_PROTOCOLS = {"udp": 17, "tcp": 6}
_TRAFFIC, _RESET, _REFUSE = 6, 3, 5
_INFORMATIONAL, _LOW, _MEDIUM, _HIGH = 1, 2, 3, 4


def ocsf(record: Record) -> Json:
    """One event as OCSF wants it."""
    return _notice(record) if isinstance(record, Notice) else _attempt(record)


def _attempt(logged: Logged) -> Json:
    attempt, block = logged.attempt, logged.attempt.block
    dns = block.layer is Layer.DNS
    class_uid = 4003 if dns else 4001
    activity = _TRAFFIC if dns or not logged.blocked else _RESET if block.response is Response.RESET else _REFUSE
    event: Json = {
        "metadata": _metadata(logged, ["security_control", *(["host"] if attempt.owner.device else [])]),
        "time": attempt.time_ms,
        "category_uid": 4,
        "class_uid": class_uid,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _INFORMATIONAL if not logged.blocked else _MEDIUM if logged.strong else _LOW,
        "status_id": 2 if logged.blocked else 1,
        "action_id": 2 if logged.blocked else 3,
        "disposition_id": 2 if logged.blocked else 17,
        "is_alert": logged.blocked,
        "message": logged.summary,
        "count": attempt.count,
        "start_time": attempt.time_ms,
        "end_time": attempt.last_ms,
        "app_name": plain(block.service),
        "policy": {"uid": plain(block.ban or block.ruleset), "version": block.ruleset},
        "firewall_rule": {
            "uid": plain(block.rule),
            "name": plain(block.rule.rpartition("/")[2]),
            "category": plain(block.service),
        },
    }
    if attempt.owner.device is not None:
        groups = [] if attempt.owner.group is None else [{"name": plain(attempt.owner.group)}]
        device = {"uid": plain(attempt.owner.device), "type_id": 5, "is_managed": True}
        event["device"] = {**device, "groups": groups} if groups else device
    if attempt.client_ip is not None:
        event["src_endpoint"] = _endpoint(attempt.client_ip, attempt.client_port, None)
    if (network := logged.network) is not None:
        event["connection_info"] = {
            "protocol_num": _PROTOCOLS[network],
            "protocol_name": network,
            "direction_id": 2,
        }
    event.update(_dns(logged) if dns else _connection(logged))
    event["unmapped"] = facts(logged)
    return event


def _dns(logged: Logged) -> Json:
    block = logged.attempt.block
    found: Json = {"dst_endpoint": {"port": 53}} if block.transport in {"udp", "tcp"} else {}
    if block.name is not None:
        found["query"] = {"hostname": plain(block.name), "type": block.qtype or "A", "class": "IN"}
    if block.rcode is not None:
        number, name = _RCODES.get(block.rcode, (99, block.rcode))
        found |= {"rcode_id": number, "rcode": name}
    return found


def _connection(logged: Logged) -> Json:
    block = logged.attempt.block
    found: Json = {"dst_endpoint": _endpoint(block.dest_ip, block.dest_port, block.name)}
    protocol = {Layer.TLS: "https", Layer.QUIC: "quic", Layer.HTTP: "http", Layer.MMTLS: "mmtls"}.get(block.layer)
    if protocol is not None:
        found["app_protocol_name"] = protocol
    if block.layer in {Layer.TLS, Layer.QUIC} and block.name is not None:
        # A ClientHello was read and refused, so no version was ever agreed upon.
        found["tls"] = {"sni": plain(block.name), "version": "unknown"}
    return found


def _endpoint(ip: str | None, port: int | None, hostname: str | None) -> Json:
    values = {"ip": ip, "port": port, "hostname": None if hostname is None else plain(hostname)}
    return {key: value for key, value in values.items() if value is not None}


def _notice(notice: Notice) -> Json:
    return {
        "metadata": _metadata(notice, []),
        "time": notice.time_ms,
        "category_uid": 0,
        "class_uid": 0,
        "activity_id": 99,
        "activity_name": plain(notice.kind),
        "type_uid": 99,
        "severity_id": _HIGH if notice.serious else _INFORMATIONAL,
        "message": notice.summary,
        "unmapped": {"event": plain(notice.kind), **notice.detail},
    }


def _metadata(record: Record, profiles: list[str]) -> Json:
    return {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": VENDOR, "version": __version__},
        "profiles": profiles,
        "uid": record.id,
        "sequence": record.seq,
        "logged_time": record.logged_ms,
        "log_provider": plain(record.node),
    }
