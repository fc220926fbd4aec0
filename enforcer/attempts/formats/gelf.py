"""GELF 1.1 (Graylog): own fields begin with `_`, and `_id` is Graylog's own."""

from enforcer.attempts.formats.record import Notice, Record, Value, facts, plain

type Json = dict[str, object]

_NOTICE, _WARNING = 5, 4  # syslog's levels


def gelf(record: Record) -> Json:
    """One message."""
    if isinstance(record, Notice):
        fields: dict[str, Value] = {"event": record.kind, **record.detail}
        level = _WARNING if record.serious else _NOTICE
    else:
        attempt, block = record.attempt, record.attempt.block
        level = _NOTICE
        fields = {
            **facts(record),
            "action": block.action.value,
            "service": block.service,
            "ban": block.ban,
            "rule": block.rule,
            "name": block.name,
            "qtype": block.qtype,
            "rcode": block.rcode,
            "client_ip": attempt.client_ip,
            "client_port": attempt.client_port,
            "dest_ip": block.dest_ip,
            "dest_port": block.dest_port,
            "device": attempt.owner.device,
            "group": attempt.owner.group,
            "count": attempt.count,
        }
    return {
        "version": "1.1",
        "host": plain(record.node),
        "short_message": record.summary,
        "timestamp": record.time_ms / 1000,
        "level": level,
        "_event_id": record.id,
        "_sequence": record.seq,
        **{
            f"_{'detail_id' if key == 'id' else key}": _value(value)
            for key, value in fields.items()
            if value is not None
        },
    }


def _value(value: Value) -> str | int:
    """GELF knows text and numbers."""
    if isinstance(value, bool):
        return str(value).lower()
    return plain(value) if isinstance(value, str) else value or 0
