"""Settings of the record."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from enforcer.config.fields import AnyPath, Size
from enforcer.config.section import Section
from enforcer.config.sinks import Sink
from enforcer.config.values import is_plain, quoted

SQLITE = "sqlite"


PRESETS = {"half-year": 183, "year": 365, "18-months": 548, "two-years": 731}
"""What guidance asks for, by name: six months to search and twelve more to fetch (OMB M-26-14), two years after a
record was used to decide about a person (Privacy Regulations, s. 4)."""


def _retention(value: object) -> object:
    days = PRESETS.get(value, value) if isinstance(value, str) else value
    if isinstance(days, str) and days.isdecimal():
        days = int(days)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 36_500:
        raise ValueError(f"{quoted(str(value))} is no time to keep records; write days, or {', '.join(PRESETS)}")
    return days


RetentionDays = Annotated[
    int,
    PlainValidator(_retention),
    WithJsonSchema({"anyOf": [{"enum": list(PRESETS)}, {"type": "integer", "minimum": 1, "maximum": 36_500}]}),
]


def _index(value: object) -> str:
    text = str(value)
    if text == SQLITE:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"postgresql", "postgres"} or not is_plain(text) or " " in text:
        word = quoted(text.partition(":")[0])  # what follows, in a URL, may be secret
        raise ValueError(f'{word} is no index; write "sqlite", or a database, as in "postgresql://db.example/enforcer"')
    if parts.password is not None or "password=" in parts.query:
        raise ValueError(
            "a URL holds no secret here; write the password to a file in the form of .pgpass, and name that, "
            'as in "postgresql://enforcer@db.example/enforcer?passfile=/etc/enforcer/pgpass"'
        )
    return text


Index = Annotated[
    str,
    PlainValidator(_index),
    WithJsonSchema({"type": "string", "examples": [SQLITE, "postgresql://enforcer@db.example/enforcer"]}),
]


class Attempts(Section):
    """The record of what was blocked."""

    aggregate_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Repeats within so many seconds become one summary with a count; 0 turns it off.",
    )
    fsync_s: float = Field(
        1.0,
        ge=0.01,
        le=60,
        description="The most seconds of records that a power cut can take; a killed process takes none.",
    )
    spool_max: Size = Field(
        2_000_000_000,
        description="The most bytes that wait for the hub; above it the newest are counted, and not kept.",
    )
    checkpoint_s: float = Field(
        300.0,
        ge=1,
        le=3600,
        description="The log is signed each time so many seconds have passed, and at midnight UTC.",
    )
    signing_key: AnyPath | None = Field(
        None,
        description="The private key that signs the log (Ed25519, PEM, mode 0600), for the hub alone; by default "
        "data_dir/keys/checkpoint.pem, made at the first start. A change needs a restart.",
    )
    retention_days: RetentionDays = Field(
        365,
        validate_default=True,
        description="The days after which records are deleted, but for what is on hold, or a preset: "
        + ", ".join(f"{name} ({days})" for name, days in PRESETS.items())
        + ".",
    )
    index: Index = Field(
        SQLITE,
        description="Where look-ups are made: sqlite, or the URL of a PostgreSQL database (15 or newer) without its "
        "password. A change needs a restart.",
    )
    sinks: tuple[Sink, ...] = Field(
        (),
        description="Where copies of the record are sent. The first one, and the last one taken away, need a restart.",
        examples=[[{"type": "syslog", "url": "tls://siem.example:6514", "format": "cef"}]],
    )

    @property
    def ships(self) -> bool:
        """Whether there is any sink, and so the process that feeds them."""
        return bool(self.sinks)
