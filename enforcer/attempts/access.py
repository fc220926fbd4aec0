"""Who has looked at raw identifiers, or taken records away: the fields of the log's `access` events."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from enforcer.errors import Malformed

TEXT_MAX = 200


class Look(StrEnum):
    """What was done."""

    REVEAL = "reveal"
    EXPORT = "export"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Access:
    """One look at what is said about people. who: the person, as the system knows them; reason: theirs, never empty.

    device: whose; None for everybody's. since, until: RFC 3339, None without a limit. records: how many were taken;
    None where it is no matter of records.
    """

    look: Look
    who: str
    reason: str
    device: str | None = None
    since: str | None = None
    until: str | None = None
    records: int | None = None

    def detail(self) -> dict[str, object]:
        """The detail of its event, and what is asked of the hub's operation `access`."""
        return {
            "look": self.look.value,
            "who": self.who[:TEXT_MAX],
            "reason": self.reason[:TEXT_MAX],
            "device": self.device,
            "since": self.since,
            "until": self.until,
            "records": self.records,
        }


def access_of(values: Mapping[str, object]) -> Access:
    """What `detail` made. Raises Malformed for anything else: an access without a person or a reason is none."""
    look, records = values.get("look"), values.get("records")
    if look not in set(Look):
        raise Malformed(f'"look" is none of {", ".join(Look)}')
    if records is not None and (not isinstance(records, int) or isinstance(records, bool) or records < 0):
        raise Malformed('"records" is no number of records')
    who, reason = _text(values, "who"), _text(values, "reason")
    if not who or not reason:
        raise Malformed('"who" and "reason" are needed; say who looks, and why')
    return Access(
        Look(str(look)), who, reason, _text(values, "device"), _text(values, "since"), _text(values, "until"), records
    )


def _text(values: Mapping[str, object], key: str) -> str | None:
    value = values.get(key)
    if value is not None and (not isinstance(value, str) or len(value) > TEXT_MAX):
        raise Malformed(f'"{key}" is no text of {TEXT_MAX} characters or less')
    return value
