"""CSV (RFC 4180) for spreadsheets and scripts: one row an attempt, columns that never change their place.

A new column will be added behind the others. A cell that a spreadsheet would take for a formula begins with `'`.
"""

from enforcer.attempts.attempt import moment
from enforcer.attempts.formats.record import Logged, Value, plain

_FORMULA = ("=", "+", "-", "@")

COLUMNS: tuple[str, ...] = (
    *("id", "seq", "time", "last", "logged", "count", "node"),
    *("layer", "action", "response", "service", "part", "evidence", "ban", "ruleset", "rule", "rule_kind"),
    *("name", "via", "qtype", "rcode", "ede", "alpn", "ech", "transport", "realm"),
    *("client_ip", "client_port", "dest_ip", "dest_port", "device", "group"),
    *("identity_source", "identity_confidence", "identity_state", "identity_age_s", "identity_granularity"),
)


def header() -> str:
    """The first line."""
    return ",".join(COLUMNS)


def row(logged: Logged) -> str:
    """One attempt on one line, without its end."""
    attempt, block, identity = logged.attempt, logged.attempt.block, logged.attempt.owner.identity
    values: dict[str, Value] = {
        "id": logged.id,
        "seq": logged.seq,
        "time": moment(attempt.time_ms),
        "last": moment(attempt.last_ms),
        "logged": moment(logged.logged_ms),
        "count": attempt.count,
        "node": attempt.node,
        **{key: getattr(block, key) for key in COLUMNS[7:26] if key != "alpn"},
        "alpn": None if block.alpn is None else " ".join(block.alpn),
        "client_ip": attempt.client_ip,
        "client_port": attempt.client_port,
        "dest_ip": block.dest_ip,
        "dest_port": block.dest_port,
        "device": attempt.owner.device,
        "group": attempt.owner.group,
        **{key: getattr(identity, key.removeprefix("identity_")) for key in COLUMNS[32:]},
    }
    return ",".join(_cell(values[column]) for column in COLUMNS)


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    text = plain(value)
    if text.startswith(_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"') else text
