"""A line of the log to one line of any format, by the format's name."""

import json
from enum import StrEnum

from enforcer.attempts.formats.cef import cef
from enforcer.attempts.formats.ecs import ecs
from enforcer.attempts.formats.gelf import gelf
from enforcer.attempts.formats.leef import leef
from enforcer.attempts.formats.ocsf import ocsf
from enforcer.attempts.formats.record import Record


class Format(StrEnum):
    """What a sink can be written in. json: the line as it stands in the log, so that the receiver can verify it."""

    JSON = "json"
    OCSF = "ocsf"
    ECS = "ecs"
    CEF = "cef"
    LEEF = "leef"
    GELF = "gelf"


def render(record: Record, line: bytes, form: Format) -> str:
    """One line without its end; what is JSON is in ASCII. line: what the record was read from."""
    match form:
        case Format.JSON:
            return line.decode("ascii", "backslashreplace")
        case Format.CEF:
            return cef(record)
        case Format.LEEF:
            return leef(record)
        case Format.OCSF:
            return _compact(ocsf(record))
        case Format.ECS:
            return _compact(ecs(record))
        case Format.GELF:
            return _compact(gelf(record))


def _compact(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
