"""Capture files: pcap (of either byte order, of micro- or nanoseconds) and pcapng (any number of interfaces).

A file is read once from front to back, so that it can come through a pipe, and a record at a time.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from enforcer.errors import Corrupt

RECORD_MAX = 0x100000
"""Octets of one record; what programs capture at most is 256 KiB."""

_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_MAGICS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}  # nanoseconds of a unit of the second half of a time
_INTERFACES_MAX = 4096
_TSRESOL, _TSOFFSET = 9, 14
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet as it was captured. link: the LINKTYPE of tcpdump.org. size: octets that it had on the wire."""

    time_ns: int
    link: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class _Interface:
    """units: of its clock, in a second. offset_s: what is added to its times."""

    link: int
    units: int = 1_000_000
    offset_s: int = 0

    def time_ns(self, high: int, low: int) -> int:
        return self.offset_s * _NS + (high << 32 | low) * _NS // self.units


def frames(file: IO[bytes]) -> Iterator[Frame]:
    """Every packet of a capture, in the order of the file.

    A file that ends inside a record, as that of a killed tcpdump does, ends with the record before. Raises Corrupt for
    what is no capture.
    """
    start = file.read(4)
    for order in "<", ">":
        if len(start) == 4 and struct.unpack(f"{order}I", start)[0] in _MAGICS:
            return _pcap(file, order, _MAGICS[struct.unpack(f"{order}I", start)[0]])
    if start == _SECTION.to_bytes(4):
        return _pcapng(file)
    raise Corrupt("this is no capture: it begins neither as pcap nor as pcapng; write one with tcpdump -w")


def _pcap(file: IO[bytes], order: str, unit_ns: int) -> Iterator[Frame]:
    head = file.read(20)
    if len(head) < 20:
        return
    link = struct.unpack(f"{order}I", head[16:])[0] & 0xFFFF  # above it: what is known of frame check sequences
    record = struct.Struct(f"{order}IIII")
    while len(head := file.read(16)) == 16:
        seconds, rest, kept, size = record.unpack(head)
        data = _read(file, kept)
        if data is None:
            return
        yield Frame(seconds * _NS + rest * unit_ns, link, data, size)


def _pcapng(file: IO[bytes]) -> Iterator[Frame]:
    """The type of the first block is read already."""
    order = "<"
    interfaces: list[_Interface] = []
    kind = _SECTION
    while True:
        found = _block(file, kind, order)
        if found is None:
            return
        order, body = found
        if kind == _SECTION:
            interfaces = []
        elif kind == _INTERFACE and len(body) >= 8:
            if len(interfaces) >= _INTERFACES_MAX:
                raise Corrupt(f"the capture has more than {_INTERFACES_MAX} interfaces")
            interfaces.append(_interface(body, order))
        else:
            yield from _packet(kind, body, order, interfaces)
        head = file.read(4)
        if len(head) < 4:
            return
        kind = struct.unpack(f"{order}I", head)[0]


def _block(file: IO[bytes], kind: int, order: str) -> tuple[str, bytes] | None:
    """The byte order from here on, and what a block holds between its lengths; None where the file ends."""
    head = file.read(4)
    magic = file.read(4) if kind == _SECTION else b""
    if len(head) < 4 or (kind == _SECTION and len(magic) < 4):
        return None
    if magic:
        order = "<" if magic == b"\x4d\x3c\x2b\x1a" else ">"
    size = struct.unpack(f"{order}I", head)[0]
    body = _read(file, size - 8 - len(magic)) if size >= 12 + len(magic) else None
    return None if body is None else (order, body[:-4])


def _interface(body: bytes, order: str) -> _Interface:
    link = struct.unpack_from(f"{order}H", body)[0]
    units, offset = 1_000_000, 0
    at = 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == _TSRESOL and len(value) == 1:
            units = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == _TSOFFSET and len(value) == 8:
            offset = struct.unpack(f"{order}q", value)[0]
        at += 4 + (size + 3 & ~3)
    return _Interface(link, units, offset)


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> Iterator[Frame]:
    """The packet of a block that has one, of an interface that was described."""
    if kind == _ENHANCED and len(body) >= 20:
        number, high, low, kept, size = struct.unpack_from(f"{order}IIIII", body)
        if number < len(interfaces):
            each = interfaces[number]
            yield Frame(each.time_ns(high, low), each.link, body[20 : 20 + kept], size)
    elif kind == _SIMPLE and len(body) >= 4 and interfaces:
        size = struct.unpack_from(f"{order}I", body)[0]
        yield Frame(0, interfaces[0].link, body[4 : 4 + size], size)  # it says no time


def _read(file: IO[bytes], size: int) -> bytes | None:
    """Exactly so many octets; None where the file ends before. Raises Corrupt for more than any record has."""
    if size > RECORD_MAX:
        raise Corrupt(f"the capture is damaged: a record says that it has {size} octets")
    data = file.read(size)
    return data if len(data) == size else None
