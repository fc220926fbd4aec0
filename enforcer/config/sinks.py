"""Settings of sinks: where copies of the record are sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from enforcer.attempts.formats.render import Format
from enforcer.config.document import KeyPath
from enforcer.config.fields import AnyPath, File, Identifier, Line, Size, choice
from enforcer.config.section import Section
from enforcer.config.values import instead, is_plain, quoted


class SinkType(StrEnum):
    """What takes the records."""

    SYSLOG = "syslog"
    KAFKA = "kafka"
    HTTP = "http"
    SPLUNK = "splunk"
    ELASTIC = "elastic"
    GELF = "gelf"
    FILE = "file"


class Begin(StrEnum):
    """Where in the log a new sink begins."""

    BEGINNING = "beginning"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class SinkUrl:
    """A receiver's address. path: with the query, for HTTP."""

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


_PORTS: Mapping[str, int | None] = {"tls": 6514, "tcp": None, "udp": None, "http": 80, "https": 443}
_STREAMS = ("tls", "tcp", "udp")

# By type: the schemes of its URL, and the keys that mean something for it, beside those that every sink has.
_SCHEMES: Mapping[SinkType, tuple[str, ...]] = {
    SinkType.SYSLOG: _STREAMS,
    SinkType.GELF: _STREAMS,
    SinkType.HTTP: ("https", "http"),
    SinkType.SPLUNK: ("https", "http"),
    SinkType.ELASTIC: ("https", "http"),
}
_TLS = frozenset({"ca", "certificate", "key"})
_KEYS: Mapping[SinkType, frozenset[str]] = {
    SinkType.SYSLOG: _TLS | {"url", "enterprise"},
    SinkType.GELF: _TLS | {"url"},
    SinkType.HTTP: _TLS | {"url", "secret_file"},
    SinkType.SPLUNK: _TLS | {"url", "secret_file", "acknowledge"},
    SinkType.ELASTIC: _TLS | {"url", "secret_file", "target"},
    SinkType.KAFKA: _TLS | {"brokers", "topic", "username", "secret_file", "options"},
    SinkType.FILE: frozenset({"path", "max_bytes", "keep"}),
}
_COMMON = frozenset({"type", "name", "format", "batch", "begin", "retry_max_s"})
_NEEDED: Mapping[SinkType, tuple[tuple[str, str], ...]] = {
    SinkType.SYSLOG: (("url", "tls://siem.example:6514"),),
    SinkType.GELF: (("url", "tls://graylog.example:12201"),),
    SinkType.HTTP: (("url", "https://collector.example/enforcer"),),
    SinkType.SPLUNK: (("url", "https://splunk.example:8088"), ("secret_file", "/etc/enforcer/hec-token")),
    SinkType.ELASTIC: (("url", "https://elastic.example:9200"),),
    SinkType.KAFKA: (("brokers", "[kafka-1.example:9093]"),),
    SinkType.FILE: (("path", "/var/log/enforcer/attempts.ndjson"),),
}
_FORMATS: Mapping[SinkType, tuple[Format, ...]] = {
    SinkType.GELF: (Format.GELF,),
    SinkType.ELASTIC: (Format.ECS, Format.JSON, Format.OCSF),
}


def parse_sink_url(text: str) -> SinkUrl:
    """A receiver's URL; secrets have no place in it. Raises ValueError."""
    example = 'write one, as in "tls://siem.example:6514" or "https://collector.example:8088"'
    try:
        parts = urlsplit(text)
        port = parts.port if parts.scheme in _PORTS and parts.port is not None else _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise ValueError(f"{quoted(text)} is not a URL of {', '.join(_PORTS)}; {example}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no secret here; write it to a file, and name that in secret_file")
    if not parts.hostname or not is_plain(text) or " " in text:
        raise ValueError(f"{quoted(text)} names no host; {example}")
    if port is None:
        raise ValueError(f"{quoted(text)} has no port number; {example}")
    if parts.scheme in _STREAMS and parts.path.strip("/"):
        raise ValueError(f"{quoted(text)} has a path, which {parts.scheme} does not know; leave it out")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return SinkUrl(parts.scheme, parts.hostname, port, "" if parts.scheme in _STREAMS else path.rstrip("/"))


def _url(value: object) -> SinkUrl:
    return value if isinstance(value, SinkUrl) else parse_sink_url(str(value))


def _broker(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or not is_plain(text) or "," in text:
        raise ValueError(f'{quoted(text)} is not a broker; write host and port, as in "kafka-1.example:9093"')
    return text


Url = Annotated[
    SinkUrl,
    PlainValidator(_url),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["tls://siem.example:6514", "https://splunk.example:8088"]}),
]
Broker = Annotated[str, AfterValidator(_broker)]
Option = Annotated[str, BeforeValidator(lambda value: str(value).lower() if isinstance(value, bool) else str(value))]


class Sink(Section):
    """One receiver of copies of the record: attempts, events and checkpoints, each in its order, at least once.

    Which keys apply depends on the type; one that does not is a mistake.
    """

    type: Annotated[SinkType, choice(SinkType)] = Field(description="What takes the records.", examples=["syslog"])
    name: Identifier | None = Field(
        None, description="Its name in metrics, and of its cursor; by default the type. Each name once."
    )
    url: Url | None = Field(
        None,
        description="syslog, gelf: tls://, tcp:// or udp:// with host and port; http, splunk, elastic: https:// or "
        "http://. For splunk and elastic without their own paths.",
    )
    format: Annotated[Format, choice(Format)] | None = Field(
        None, description="How a record is written: by default json, for elastic ecs, for gelf always gelf."
    )
    ca: File | None = Field(None, description="Whom to trust over TLS (PEM); by default the system's authorities.")
    certificate: File | None = Field(None, description="Our certificate (PEM), where the receiver demands one.")
    key: File | None = Field(None, description="The certificate's key (PEM).")
    secret_file: File | None = Field(
        None, description="A file with the token (http: bearer, splunk, elastic: API key) or the password (kafka)."
    )
    enterprise: int = Field(
        32473, ge=1, le=4_294_967_295, description="syslog: your private enterprise number, of the structured data."
    )
    acknowledge: bool = Field(
        True,
        description="splunk: wait until each batch is indexed, which its token must allow; "
        "without it, what Splunk loses before that is not sent again.",
    )
    target: Line = Field("logs-enforcer.attempts-default", description="elastic: the data stream or index.")
    brokers: tuple[Broker, ...] = Field((), description="kafka: brokers to begin with, each as host:port.")
    topic: Identifier = Field("enforcer.attempts", description="kafka: the topic.")
    username: Line | None = Field(None, description="kafka: SASL user (SCRAM-SHA-512), with secret_file.")
    options: Mapping[Identifier, Option] = Field({}, description="kafka: more settings of librdkafka, by their names.")
    path: AnyPath | None = Field(None, description="file: where a shipper finds the lines.")
    max_bytes: Size = Field(
        256_000_000, description="file: above it the file is renamed to NAME.1, and a new one begun."
    )
    keep: int = Field(4, ge=0, le=100, description="file: how many renamed files stay.")
    batch: int = Field(500, ge=1, le=10_000, description="The most records that are sent at once.")
    begin: Annotated[Begin, choice(Begin)] = Field(
        Begin.BEGINNING, description="Where a new sink begins: with the oldest record kept, or with what comes."
    )
    retry_max_s: float = Field(
        60.0, ge=0.1, le=3600, description="The longest wait before a receiver that is away is tried again."
    )

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or self.type.value

    @property
    def form(self) -> Format:
        """The format in force."""
        if self.format is not None:
            return self.format
        return _FORMATS.get(self.type, (Format.JSON,))[0]


def sink_mistakes(sinks: tuple[Sink, ...], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """What does not hold together in the sinks. path: where they stand."""
    names: set[str] = set()
    for number, sink in enumerate(sinks):
        here = (*path, number)
        if sink.label in names:
            yield here, f"a second sink is named {quoted(sink.label)}; give each a name of its own"
        names.add(sink.label)
        yield from _needed(sink, here)
        yield from _stray(sink, here)
        yield from _security(sink, here)


def _needed(sink: Sink, here: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for key, example in _NEEDED[sink.type]:
        if not getattr(sink, key):
            yield (*here, key), f"missing; a sink of type {sink.type} needs it, as in {key}: {example}"
    if sink.url is not None and sink.type in _SCHEMES and sink.url.scheme not in _SCHEMES[sink.type]:
        schemes = [f"{scheme}://" for scheme in _SCHEMES[sink.type]]
        yield (*here, "url"), f"a sink of type {sink.type} takes {', '.join(schemes)}; write one of these"
    allowed = _FORMATS.get(sink.type, tuple(form for form in Format if form is not Format.GELF))
    if sink.form not in allowed:
        known = [form.value for form in allowed]
        yield (*here, "format"), f"{quoted(sink.form.value)} is no format for {sink.type}; {instead('', known)}"


def _stray(sink: Sink, here: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for key in sorted(sink.model_fields_set - _COMMON - _KEYS[sink.type]):
        if getattr(sink, key) != type(sink).model_fields[key].default:
            yield (*here, key), f"means nothing to a sink of type {sink.type}; leave it out"


def _security(sink: Sink, here: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if (sink.certificate is None) != (sink.key is None):
        yield here, "certificate and key belong together; write both, or neither"
    if sink.username is not None and sink.secret_file is None:
        yield here, "username needs the password; write it to a file, and name that in secret_file"
    if sink.url is not None and sink.url.scheme not in {"tls", "https"}:
        for key in sorted(_TLS & sink.model_fields_set):
            if getattr(sink, key) is not None:
                yield (
                    (*here, key),
                    f"there is no TLS over {sink.url.scheme}://; leave it out, or write tls:// or https://",
                )
