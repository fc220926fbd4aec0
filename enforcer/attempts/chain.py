"""The hash chain that links every line of the log to all before it.

`h[i] = SHA-256(h[i-1] || line[i])`, where `line[i]` is the line without its final `,"prev":"…"` member and
without the newline. Each line names `h[i-1]` in `prev`; the first line ever names 32 zero octets, and the first
line of a later file the last hash of the file before it.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

from enforcer.errors import Corrupt

GENESIS = bytes(32)

_END = b'"}'
_PREV = b',"prev":"'
_TAIL = len(_PREV) + 64 + len(_END)
_SEQ = re.compile(rb'"seq":(\d+)[,}]')


def link(head: bytes, body: bytes) -> bytes:
    """The hash after one more line. head: 32 octets; body: the line without `prev`, closing brace included."""
    return sha256(head + body).digest()


def seal(head: bytes, body: bytes) -> bytes:
    """The line that is written, newline included, for a body that follows `head`."""
    return b'%b,"prev":"%b"}\n' % (body[:-1], head.hex().encode())


def unseal(line: bytes) -> tuple[bytes, bytes]:
    """A line (without newline) taken apart: its body, and the hash of all before it. Raises Corrupt."""
    tail = line[-_TAIL:]
    if tail.startswith(_PREV) and tail.endswith(_END):
        try:
            head = bytes.fromhex(tail[len(_PREV) : -len(_END)].decode("ascii"))
        except ValueError:
            head = b""
        if len(head) == 32:
            return line[:-_TAIL] + b"}", head
    raise Corrupt('a line does not end in ,"prev":"64 hexadecimal digits"}')


def verify(
    lines: Iterable[bytes], head: bytes | None = None, seq: int | None = None
) -> tuple[bytes | None, int | None]:
    """Check consecutive lines (without newlines) and return the hash and the number after the last.

    head, seq: the hash and the number before the first line; None when the lines before are not at hand.
    Raises Corrupt that names the first line, counted from 1, that was altered, left out or put in.
    """
    for number, line in enumerate(lines, 1):
        try:
            body, before = unseal(line)
        except Corrupt as error:
            raise Corrupt(f"line {number}: {error}") from error
        found = _SEQ.search(body)
        if found is None:
            raise Corrupt(f"line {number}: there is no sequence number")
        own = int(found[1])
        if seq is not None and own != seq + 1:
            raise Corrupt(f"line {number}: number {own} follows number {seq}")
        if own == 1:
            head = GENESIS
        if head is not None and before != head:
            raise Corrupt(f"line {number} (number {own}): the line before it is not the one it was written after")
        head, seq = link(before, body), own
    return head, seq
