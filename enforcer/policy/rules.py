"""A rule, as a list states it: a trigger, and everything a record or a reader needs to know of it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """What a rule's trigger is compared with."""

    EXACT = "exact"
    SUFFIX = "suffix"
    REGEX = "regex"
    CIDR = "cidr"
    FINGERPRINT = "fingerprint"
    HTTP_PATH = "http_path"


class Evidence(StrEnum):
    """What one match says about the device: an app is there, a page embeds it, or several products share it."""

    APP = "app"
    WEB = "web"
    SHARED = "shared"


class Confidence(StrEnum):
    """How sure the list's author is of a rule."""

    OFFICIAL = "official"
    MULTIPLE = "multiple"
    SINGLE = "single"


class Mode(StrEnum):
    """Whether a match is refused, or forwarded and recorded as observed."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


class Answer(StrEnum):
    """What a blocked question is answered with (RPZ's actions, and the two sinkhole forms)."""

    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    NULL = "null"
    SINKHOLE = "sinkhole"


class Transport(StrEnum):
    """The transport a port belongs to."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Port:
    """One transport port, written `tcp/443`."""

    transport: Transport
    number: int

    def __str__(self) -> str:
        return f"{self.transport}/{self.number}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of one list.

    trigger: the normal form: a lower-case A-label name without the final dot, a pattern, a network, a fingerprint
    or a path. list: the list's name (its file's stem). file, line: where it is written, for people.
    expires: the first day on which the rule no longer applies; None: it does not end.
    ports: empty means every port; a rule with ports never applies to the `dns` layer.
    answer: None means the configuration's default. dedicated: what the name resolves to serves nothing else, so that a
    gateway may learn it.
    """

    kind: Kind
    trigger: str
    list: str
    file: str
    line: int
    service: str
    part: str
    evidence: Evidence
    confidence: Confidence
    source: str
    seen: str | None = None
    expires: date | None = None
    ports: tuple[Port, ...] = ()
    ban: str | None = None
    mode: Mode = Mode.ENFORCE
    answer: Answer | None = None
    dedicated: bool = False

    @property
    def id(self) -> str:
        """The rule's name in records: `list/kind/trigger`."""
        return f"{self.list}/{self.kind}/{self.trigger}"
