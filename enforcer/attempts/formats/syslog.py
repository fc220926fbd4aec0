r"""RFC 5424 around a message: header, structured data, and the message in UTF-8 behind a BOM (§6).

The facility is local0, the severity notice or warning. `meta sequenceId` (§7.3.1) is the number of the line in the log,
so that a receiver sees what is missing; the second element carries what is looked for most often.
"""

from enforcer.attempts.attempt import moment
from enforcer.attempts.formats.record import Notice, Record, plain

PEN = 32473
"""The private enterprise number for documentation (RFC 5612), where the operator sets no own one."""

_LOCAL0, _NOTICE, _WARNING = 16, 5, 4
_SEQUENCE_MAX = 2_147_483_647
_BOM = b"\xef\xbb\xbf"


def syslog(record: Record, message: str, pen: int) -> bytes:
    """One message, without framing. message: text or JSON on one line."""
    severity = _WARNING if isinstance(record, Notice) and record.serious else _NOTICE
    host = _header(record.node, 255)
    sequence = (record.seq - 1) % _SEQUENCE_MAX + 1
    head = (
        f"<{_LOCAL0 * 8 + severity}>1 {moment(record.time_ms)} {host} enforcer - {_header(record.kind, 32)}"
        f' [meta sequenceId="{sequence}"][enforcer@{pen}{_elements(record)}] '
    )
    return head.encode() + _BOM + message.encode()


def counted(message: bytes) -> bytes:
    """RFC 5425 §4.3, and RFC 6587 §3.4.1 over TCP: the length of the message in octets before it."""
    return b"%d %b" % (len(message), message)


def _elements(record: Record) -> str:
    values: dict[str, str | None] = {"id": record.id}
    if not isinstance(record, Notice):
        attempt, block = record.attempt, record.attempt.block
        values |= {
            "device": attempt.owner.device,
            "name": block.name,
            "service": block.service,
            "ban": block.ban,
            "action": block.action.value,
            "evidence": block.evidence,
            "count": str(attempt.count),
        }
    return "".join(f' {key}="{_value(value)}"' for key, value in values.items() if value is not None)


def _value(text: str) -> str:
    r"""PARAM-VALUE (§6.3.3): a backslash before `"`, `\` and `]`."""
    return plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _header(text: str, most: int) -> str:
    """PRINTUSASCII (§6): what is not is a `?`; nothing at all is `-`."""
    return "".join(c if "!" <= c <= "~" else "?" for c in text)[:most] or "-"
