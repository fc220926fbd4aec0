"""Where the messages of an HTTP/1 connection begin and end (RFC 9112 §2-§7), in one direction of it.

What a message says is read elsewhere; this only cuts: heads whole, bodies piece by piece as they come, no octet lost or
added. What two readers could cut differently is Malformed: that is how a request hides behind another (§11.2).
"""

import re
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from enforcer.errors import Malformed

HEAD_MAX = 65_536
LINE_MAX = 8_192  # of a chunk's size with its extensions; a trailer section may have HEAD_MAX
_SIZE_DIGITS = 16

_HEAD_END = re.compile(rb"\n\r?\n")
_LINE_BREAKS = b"\r\n"
_HEX = re.compile(rb"[0-9A-Fa-f]{1,%d}" % _SIZE_DIGITS)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Body(Enum):
    """How a body is delimited."""

    SIZED = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Framing:
    """How a message's body ends. size: octets, of a SIZED one."""

    body: Body
    size: int = 0


NO_BODY = Framing(Body.SIZED)
CHUNKED = Framing(Body.CHUNKED)
UNTIL_CLOSE = Framing(Body.UNTIL_CLOSE)


@dataclass(frozen=True, slots=True)
class Head:
    """The start line and the fields of a message. octets: all of it as it came, with empty lines before it.

    fields: names in lower case, values without the space around them.
    """

    octets: bytes
    start: bytes
    fields: tuple[tuple[bytes, bytes], ...]

    def values(self, name: bytes) -> list[bytes]:
        """The members of a list field, all its lines together (RFC 9110 §5.6.1); in lower case."""
        lines = [value for field, value in self.fields if field == name]
        return [item for line in lines for each in line.lower().split(b",") if (item := each.strip(b" \t"))]


def read_head(octets: bytes) -> Head:
    """Take a head apart. octets: up to the empty line, with it. Raises Malformed for a line that is no field."""
    lines = [line.removesuffix(b"\r") for line in octets.lstrip(_LINE_BREAKS).split(b"\n")]
    fields: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):  # a folded line too: nobody may send one (RFC 9112 §5.2)
            raise Malformed("HTTP head: a line is no field")
        fields.append((name.lower(), value.strip(b" \t\r")))
    return Head(octets, lines[0], tuple(fields))


def request_framing(head: Head) -> Framing:
    """How a request's body ends (RFC 9112 §6.3). Raises Malformed where two readers could disagree."""
    codings = head.values(b"transfer-encoding")
    if codings:
        if codings != [b"chunked"] or head.values(b"content-length") or not head.start.endswith(b"HTTP/1.1"):
            raise Malformed("HTTP request: its end is not certain")
        return CHUNKED
    return Framing(Body.SIZED, _length(head) or 0)


def response_framing(head: Head, method: bytes) -> Framing:
    """How a response's body ends, to a request of `method`. Raises Malformed for a length that is none."""
    code = status(head)
    if code < 200 or code in (204, 304) or method == b"HEAD" or (method == b"CONNECT" and code < 300):
        return NO_BODY
    codings = head.values(b"transfer-encoding")
    if codings:
        return CHUNKED if codings[-1] == b"chunked" else UNTIL_CLOSE
    size = _length(head)
    return UNTIL_CLOSE if size is None else Framing(Body.SIZED, size)


def status(head: Head) -> int:
    """The status code of a response. Raises Malformed when it has none."""
    words = head.start.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not re.fullmatch(rb"[1-9][0-9]{2}", words[1]):
        raise Malformed("HTTP response: no status line")
    return int(words[1])


def _length(head: Head) -> int | None:
    """Content-Length; the same number more than once is that number (RFC 9110 §8.6)."""
    values = set(head.values(b"content-length"))
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > _SIZE_DIGITS:
        raise Malformed("HTTP head: Content-Length is not one number")
    return int(value)


@dataclass(frozen=True, slots=True)
class Part:
    """Some octets of a body, its framing included. last: the message ends with them."""

    octets: bytes
    last: bool


class Messages:
    """One direction of a connection. Holds HEAD_MAX octets at most, beside what was fed and not yet taken.

    Feed it, and take pieces until there is None: a Head, which the caller answers with `frame`, then the Parts of its
    body, the last of which is marked and may be empty.
    """

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._head = bytearray()
        self._begin = 0  # where the head begins, behind empty lines
        self._framing: Framing | None = None
        self._left = 0
        self._chunks = _Chunks()

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._waiting.append(data)

    def frame(self, framing: Framing) -> None:
        """Say how the body of the head that was taken last ends."""
        self._framing = framing
        self._left = framing.size
        self._chunks = _Chunks()

    def take(self) -> Head | Part | None:
        """The next piece; None: feed more. Raises Malformed when what came cannot be cut."""
        framing = self._framing
        if framing is None:
            return self._take_head()
        if framing.body is Body.SIZED and not self._left:
            self._framing = None
            return Part(b"", last=True)
        if not self._waiting:
            return None
        data = self._waiting.popleft()
        if framing.body is Body.UNTIL_CLOSE:
            return Part(data, last=False)
        if framing.body is Body.SIZED:
            taken = min(self._left, len(data))
            self._left -= taken
            over = not self._left
        else:
            taken, over = self._chunks.walk(data)
        if taken < len(data):
            self._waiting.appendleft(data[taken:])
        if over:
            self._framing = None
        return Part(data[:taken], last=over)

    @property
    def between(self) -> bool:
        """Whether a head comes next, and no part of a body."""
        return self._framing is None

    def rest(self) -> bytes:
        """Everything that was fed and not taken, which is not looked at any more."""
        rest = bytes(self._head) + b"".join(self._waiting)
        self._head.clear()
        self._waiting.clear()
        return rest

    def _take_head(self) -> Head | None:
        while self._waiting:
            before = len(self._head)
            self._head += self._waiting.popleft()
            while self._begin < len(self._head) and self._head[self._begin] in _LINE_BREAKS:
                self._begin += 1
            end = _HEAD_END.search(self._head, max(self._begin, before - 2))
            if end is not None and end.end() <= HEAD_MAX:
                octets, rest = bytes(self._head[: end.end()]), bytes(self._head[end.end() :])
                head = read_head(octets)
                self._head.clear()
                self._begin = 0
                if rest:
                    self._waiting.appendleft(rest)
                return head
            if len(self._head) > HEAD_MAX:
                raise Malformed(f"HTTP head: longer than {HEAD_MAX} octets")
        return None


class _Chunks:
    """A chunked body (RFC 9112 §7.1), walked without keeping it."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data = 0  # octets of a chunk's data that are still to come
        self._ends = 0  # octets of the line break behind it
        self._trailers = -1  # octets of the trailer section so far; -1 before it

    def walk(self, data: bytes) -> tuple[int, bool]:
        """How many of these octets belong to the body, and whether it ends with them."""
        at = 0
        while at < len(data):
            if self._data:
                step = min(self._data, len(data) - at)
                self._data -= step
                at += step
                continue
            end = data.find(b"\n", at)
            piece = data[at : len(data) if end < 0 else end + 1]
            at += len(piece)
            self._line += piece
            if len(self._line) > LINE_MAX:
                raise Malformed("HTTP chunk: a line is too long")
            if end >= 0 and self._line_read():
                return at, True
        return at, False

    def _line_read(self) -> bool:
        """A line is complete; True when it is the last one."""
        size = len(self._line)
        line = bytes(self._line.removesuffix(b"\n").removesuffix(b"\r"))
        self._line.clear()
        if self._trailers >= 0:
            self._trailers += size
            if self._trailers > HEAD_MAX:
                raise Malformed("HTTP chunk: the trailer section is too long")
            return not line
        if self._ends:
            self._ends = 0
            if line:
                raise Malformed("HTTP chunk: its data is longer than its size")
            return False
        digits, _, _ = line.partition(b";")
        digits = digits.rstrip(b" \t")
        if not _HEX.fullmatch(digits):
            raise Malformed("HTTP chunk: its size is no number")
        self._data = int(digits, 16)
        if self._data:
            self._ends = 1
        else:
            self._trailers = 0
        return False
