"""The types of the fields of enforcer.yaml: how pydantic reads, limits, prints and describes each kind of value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from enforcer.config.values import (
    Endpoint,
    Upstream,
    instead,
    is_identifier,
    is_plain,
    parse_address,
    parse_domain,
    parse_endpoint,
    parse_network,
    parse_size,
    parse_until,
    parse_upstream,
    quoted,
    short,
    size_text,
)
from enforcer.decide.local import LocalRecord, parse_record
from enforcer.devices.device import Address, Network
from enforcer.errors import Malformed


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What paths depend on, given to pydantic as the context of validation.

    folder: where enforcer.yaml lies. shipped: the file of a list that comes with Enforcer, by its name, or None.
    files: False for who never opens the files that are named, so that they need not be there.
    """

    folder: Path
    shipped: Callable[[str], Path | None]
    files: bool = True


def choice(members: type[StrEnum], *later: str) -> BeforeValidator:
    """Read one of an enum's values. later: what values begin with that the design has, and this version not yet."""
    known = [str(member) for member in members]

    def read(value: object) -> object:
        if isinstance(value, str) and value.startswith(later):
            word = value.partition(":")[0]  # what follows, in a URL, may be secret
            raise ValueError(f"{quoted(word)} is not supported by this version; {instead('', known)}")
        if value not in known:
            raise ValueError(f"{quoted(value)} is not a choice here; {instead(value, known)}")
        return value

    return BeforeValidator(read)


def _parsed[T](parse: Callable[[str], T]) -> PlainValidator:
    """Read with `parse`, which is also shown what is not text, to refuse it in its own words."""
    return PlainValidator(lambda value: parse(str(value)))


def _text_like(*examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": list(examples)})


def _identifier(text: str) -> str:
    if not is_identifier(text):
        raise ValueError(f"{quoted(text)} is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return text


def _line(text: str) -> str:
    if not text.strip() or len(text) > 200 or not is_plain(text):
        raise ValueError(f"{quoted(text)} is not a line of text; write 1 to 200 printable characters")
    return text.strip()


def _nat64(text: str) -> IPv6Network:
    prefix = parse_network(text)
    if not isinstance(prefix, IPv6Network) or prefix.prefixlen not in {32, 40, 48, 56, 64, 96}:  # RFC 6052 §2.2
        raise ValueError(
            f"{quoted(text)} is not a NAT64 prefix; "
            'write an IPv6 network of length 32, 40, 48, 56, 64 or 96, as in "64:ff9b::/96"'
        )
    return prefix


def _local(text: str) -> LocalRecord:
    try:
        if is_plain(text):
            return parse_record(text)
    except (ValueError, Malformed):
        pass
    raise ValueError(
        f"{quoted(text)} is not a name, a TTL, a type of A, AAAA, CNAME, TXT and PTR, and its data; "
        'write them, as in "printer.corp.example 300 A 192.0.2.7"'
    )


def _contact(text: str) -> str:
    scheme, _, rest = text.partition(":")
    if scheme not in {"mailto", "tel"} or not rest or not is_plain(text):  # what structured DNS errors may carry
        raise ValueError(
            f'{quoted(text)} is not a contact; write one, as in "mailto:itsec@dept.example" or "tel:+1-613-555-0123"'
        )
    return text


def _chaos(text: str) -> str:
    if not text or len(text) > 255 or not text.isascii() or not text.isprintable():
        raise ValueError(f"{quoted(text)} cannot be a TXT answer; write 1 to 255 printable ASCII characters")
    return text


def _workers(value: object) -> int | None:
    if value is None or value == "auto":
        return None
    text = str(value)
    if len(text) > 2 or not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ValueError(f'{quoted(value)} is not a number of workers; write "auto", or 1 to 64')
    return int(text)


def _ede_code(value: object) -> int:
    if str(value) not in {"15", "17"}:
        raise ValueError(f"{quoted(value)} is not a code for a ban; write 15 (Blocked) or 17 (Filtered)")
    return int(str(value))


def _device_option(value: object) -> int:
    if str(value) not in {"65001", "65073", "65074", "20292"}:
        raise ValueError(f"{quoted(value)} is no option that tells of a device; write 65001, 65073, 65074 or 20292")
    return int(str(value))


def _url(text: str) -> str:
    if not text.startswith("https://") or len(text) > 200 or not text.isascii() or not is_plain(text) or " " in text:
        raise ValueError(f'{quoted(text)} is not a URL; write one, as in "https://it.dept.example/dns"')
    return text


def _upstreams(value: object) -> object:
    """`auto` becomes the empty tuple."""
    if value in ("auto", ["auto"]):
        return ()
    if value == []:
        raise ValueError('nobody would be asked; write "auto", or upstreams, as in ["udp://192.0.2.1"]')
    return value


def _port(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise ValueError(f"{quoted(value)} is not a port; write a number from 1 to 65535")
    return int(text)


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not is_plain(str(value)):
        raise ValueError(f"{quoted(value)} is not a path; write one")
    return info.context.folder / value if isinstance(info.context, Surroundings) else Path(value)


def _file(value: object, info: ValidationInfo) -> Path:
    path = _path(value, info)
    if isinstance(info.context, Surroundings) and info.context.files and not _is_file(path):
        raise ValueError(f"{quoted(value)} is not a file; write a path, relative to the folder of this file")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that is closed to us
        return False


def _list_file(value: object, info: ValidationInfo) -> Path:
    path, around = _path(value, info), info.context
    if not isinstance(around, Surroundings) or not around.files or _is_file(path):
        return path
    shipped = around.shipped(str(value)) if Path(str(value)).name == str(value) else None
    if shipped is None:
        raise ValueError(
            f"{quoted(value)} is neither a file nor a shipped list; "
            'write a path, relative to the folder of this file, or the name of a shipped list, as in "wechat.yaml"'
        )
    return shipped


Identifier = Annotated[str, AfterValidator(_identifier)]
Line = Annotated[str, AfterValidator(_line)]
Contact = Annotated[str, AfterValidator(_contact)]
Chaos = Annotated[str, AfterValidator(_chaos)]
Domain = Annotated[str, AfterValidator(parse_domain)]

Listen = Annotated[Endpoint, _parsed(parse_endpoint), PlainSerializer(str), _text_like("127.0.0.1:5300", "[::1]:5300")]
Ask = Annotated[Upstream, _parsed(parse_upstream), PlainSerializer(str), _text_like("udp://192.0.2.1")]
Forwarded = Annotated[tuple[Ask, ...], Field(min_length=1)]
Local = Annotated[
    LocalRecord,
    _parsed(_local),
    PlainSerializer(lambda record: record.text),
    _text_like("printer.corp.example 300 A 192.0.2.7"),
]
Within = Annotated[
    Network, _parsed(parse_network), PlainSerializer(short), _text_like("10.20.0.0/16", "2001:db8:20::/48")
]
Nat64 = Annotated[IPv6Network, _parsed(_nat64), PlainSerializer(str), _text_like("64:ff9b::/96")]
At = Annotated[Address, _parsed(parse_address), PlainSerializer(str), _text_like("192.0.2.80", "2001:db8::80")]
Size = Annotated[int, _parsed(parse_size), PlainSerializer(size_text), _text_like("256MB", "2GiB")]
Until = Annotated[
    datetime,
    _parsed(parse_until),
    PlainSerializer(datetime.isoformat),
    _text_like("2027-03-31", "2027-03-31T17:00:00-04:00"),
]
Upstreams = Annotated[
    tuple[Ask, ...],
    BeforeValidator(_upstreams),
    PlainSerializer(lambda upstreams: [str(upstream) for upstream in upstreams] or "auto"),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Workers = Annotated[
    int | None,
    PlainValidator(_workers),
    PlainSerializer(lambda workers: "auto" if workers is None else workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 64}]}),
]
Port = Annotated[int, PlainValidator(_port), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65_535})]
DeviceOption = Annotated[int, PlainValidator(_device_option), WithJsonSchema({"enum": [65001, 65073, 65074, 20292]})]
Url = Annotated[str, AfterValidator(_url)]
EdeCode = Annotated[int, PlainValidator(_ede_code), WithJsonSchema({"enum": [15, 17]})]

AnyPath = Annotated[Path, PlainValidator(_path), PlainSerializer(str), _text_like("/var/lib/enforcer")]
File = Annotated[Path, PlainValidator(_file), PlainSerializer(str), _text_like("devices.csv")]
ListFile = Annotated[
    Path, PlainValidator(_list_file), PlainSerializer(str), _text_like("wechat.yaml", "lists/own.yaml")
]
