"""Large lists of others, one name a line: domain lists, hosts files, AdBlock-style domain rules."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import batched, chain

from enforcer.errors import Malformed, Mistake, Mistakes
from enforcer.policy.names import LDH, join, parse
from enforcer.policy.rules import Evidence
from enforcer.wire.name import Name

_SHOWN_LINES = 10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ADDRESS = re.compile(
    rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*(?:[%/][a-z0-9]+)?"
)
_NOWHERE = frozenset((b"0.0.0.0", b"127.0.0.1", b"0", b"::", b"::1", b"::0"))
_RULE = re.compile(rb"(@@)?\|\|([^/^$|*]+)\^(?:\$(?:important|all)(?:,(?:important|all))*)?")

# What a hosts file says of the machine itself.
_LOCAL = frozenset(
    b"localhost localhost.localdomain local broadcasthost localhost4 localhost4.localdomain4 localhost6 "
    b"localhost6.localdomain6 ip6-localhost ip6-loopback ip6-localnet ip6-mcastprefix ip6-allnodes ip6-allrouters "
    b"ip6-allhosts 0.0.0.0".split()
)
_LOCAL_NAMES = tuple(join(name.split(b".")) for name in _LOCAL)

_COSMETIC = (b"##", b"#@", b"#?", b"#$", b"#%")  # hides parts of pages
_BATCH = 2048
_PLAIN = LDH + b".\n"
_BEHIND_DIGITS = ord(":")  # a name whose last label is a number would be an address
_LONGEST = 253


class Format(StrEnum):
    """How a third-party list is written."""

    DOMAINS = "domains"
    HOSTS = "hosts"
    ADBLOCK = "adblock"
    AUTO = "auto"
    """By the first line that begins with neither "#" nor "!", which are comments in one format or another."""


@dataclass(frozen=True, slots=True)
class Source:
    """A third-party list as the configuration names it.

    name: begins the ids of its rules. file: where it is read. service, part, evidence: for the record.
    max_bad_lines: with more of them, the list is refused.
    """

    name: str
    file: str
    service: str
    part: str = "other"
    evidence: Evidence = Evidence.SHARED
    format: Format = Format.AUTO
    max_bad_lines: int = 10


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """What a third-party list says: names, each with the line that said it first.

    suffixes, exacts: to be blocked. passes: to be let through with everything below, whatever this list says elsewhere.
    bad: how many lines are not to be understood; bad_lines: the first of them. ignored: how many are understood and
    say what names cannot express: parts of pages, addresses, rules for one site or kind of content.
    """

    source: Source
    format: Format
    suffixes: Mapping[Name, int]
    exacts: Mapping[Name, int]
    passes: Mapping[Name, int]
    bad: int
    bad_lines: tuple[int, ...]
    ignored: int


def read_names(lines: Iterable[bytes], source: Source) -> ThirdParty:
    """Read a list line by line.

    A name in a domain list stands for itself and everything below, as in AdBlock's `||name^`; a name in a hosts file
    stands for itself alone. A name of one label would block a whole top-level domain and is a bad line.
    Raises Mistakes as soon as there are more bad lines than the source allows; the message names the first ones.
    """
    reader = _Reader(source)
    format_, lines = _opened(iter(lines), source.format)
    reader.read(lines, format_)
    return ThirdParty(
        source=source,
        format=format_,
        suffixes=reader.suffixes,
        exacts=reader.exacts,
        passes=reader.passes,
        bad=reader.bad,
        bad_lines=tuple(mistake.line or 0 for mistake in reader.first_bad),
        ignored=reader.ignored,
    )


class _Reader:
    """Sorts names. Lines go by in batches, and a batch of nothing but plain names takes the short way through."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.suffixes: dict[Name, int] = {}
        self.exacts: dict[Name, int] = {}
        self.passes: dict[Name, int] = {}
        self.bad = 0
        self.first_bad: list[Mistake] = []
        self.ignored = 0

    def read(self, lines: Iterable[bytes], format_: Format) -> None:
        before, after, kept, other = {
            Format.HOSTS: (b"0.0.0.0 ", b"", self.exacts, self.host),
            Format.ADBLOCK: (b"||", b"^", self.suffixes, self.rule),
        }.get(format_, (b"", b"", self.suffixes, self.domain))
        number = 0
        for batch in batched(lines, _BATCH):
            if not self.plain(_bare(batch, before, after), number, kept):
                for number_, line in enumerate(batch, number + 1):
                    text = line.strip().lower()
                    if text:
                        other(number_, text)
            number += len(batch)
        for name in _LOCAL_NAMES:
            self.exacts.pop(name, None)

    def plain(self, texts: list[bytes], number: int, kept: dict[Name, int]) -> bool:
        """Keep the names if all are plain. If not, those that were kept are met again on the long way, and stay."""
        put = kept.setdefault
        try:
            for text in texts:
                labels = text.split(b".")
                number += 1
                if text[-1] < _BEHIND_DIGITS or len(labels) < 2 or len(text) > _LONGEST:
                    return False
                put(join(labels), number)
        except IndexError:
            return False
        return bool(texts)

    def domain(self, number: int, text: bytes) -> None:
        if text.startswith((b"!", b";")):
            return
        text = text.partition(b"#")[0].rstrip()
        name = self.name(number, text.removeprefix(b"*").removeprefix(b".")) if text else None
        if name is not None:
            self.suffixes.setdefault(name, number)

    def host(self, number: int, text: bytes) -> None:
        address, *hosts = text.partition(b"#")[0].split() or [b""]
        if not address:
            return
        if not hosts or not _ADDRESS.fullmatch(address):
            self.reject(number, text)
        elif address not in _NOWHERE:
            self.ignored += 1  # gives a name an address of its own, and blocks nothing
        for host in hosts if address in _NOWHERE else ():
            name = None if host in _LOCAL else self.name(number, host)
            if name is not None:
                self.exacts.setdefault(name, number)

    def rule(self, number: int, text: bytes) -> None:
        found = _RULE.fullmatch(text)
        if found:
            name = self.name(number, found[2])
            if name is not None:
                (self.passes if found[1] else self.suffixes).setdefault(name, number)
        elif any(mark in text for mark in _COSMETIC):
            self.ignored += 1
        elif text.startswith((b"!", b"#", b"[")):
            pass
        elif b" " in text or b"<" in text:
            self.reject(number, text)  # no filter has a blank, but the page of an error has
        else:
            self.ignored += 1

    def name(self, number: int, text: bytes) -> Name | None:
        """A name that is not plain; None when it was counted as bad or as ignored."""
        if _ADDRESS.fullmatch(text):
            self.ignored += 1
            return None
        try:
            name = parse(text.decode())
        except (Malformed, UnicodeDecodeError):
            self.reject(number, text)
            return None
        if len(name) <= name[0] + 2:  # the root, or one label
            self.reject(number, text)
            return None
        return name

    def reject(self, number: int, text: bytes) -> None:
        self.bad += 1
        if len(self.first_bad) < _SHOWN_LINES:
            shown = text[:80].decode(errors="replace")
            self.first_bad.append(Mistake(self.source.file, number, f'"{shown}" is not a domain name'))
        if self.bad > self.source.max_bad_lines:
            what = f"more than {self.source.max_bad_lines} bad lines; mend the list, or raise max_bad_lines"
            raise Mistakes([*self.first_bad, Mistake(self.source.file, None, what)])


def _bare(batch: Sequence[bytes], before: bytes, after: bytes) -> list[bytes]:
    """The names of lines that are all `before`, a name, `after`; empty if any of the lines is something else."""
    text = b"".join(batch).lower().replace(b"\r\n", b"\n").removesuffix(b"\n")
    if before:
        if not text.startswith(before) or text.count(b"\n" + before) != len(batch) - 1:
            return []
        text = text[len(before) :].replace(b"\n" + before, b"\n")
    if after:
        if not text.endswith(after) or text.count(after + b"\n") != len(batch) - 1:
            return []
        text = text[: -len(after)].replace(after + b"\n", b"\n")
    if text.count(b"\n") != len(batch) - 1 or text.translate(None, _PLAIN):
        return []
    if any(odd in b"\n%b\n" % text for odd in (b"\n\n", b"..", b".\n", b"\n.")):
        return []
    return text.split(b"\n")


def _opened(lines: Iterator[bytes], format_: Format) -> tuple[Format, Iterable[bytes]]:
    """The lines without a byte-order mark, and the format, which the first line that is no comment decides."""
    read = [next(lines, b"").removeprefix(_BYTE_ORDER_MARK)]
    while format_ is Format.AUTO:
        text = read[-1].strip().lower()
        if text.startswith((b"[", b"|", b"@@", b"/")) or (b"##" in text and text[:1] != b"#"):
            format_ = Format.ADBLOCK
        elif text and not text.startswith((b"#", b"!")):
            fields = text.split()
            format_ = Format.HOSTS if len(fields) > 1 and _ADDRESS.fullmatch(fields[0]) else Format.DOMAINS
        elif (line := next(lines, None)) is None:
            format_ = Format.DOMAINS
        else:
            read.append(line)
    return format_, chain(read, lines)
