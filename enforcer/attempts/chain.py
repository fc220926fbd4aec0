"""The hash chain that links every line of the log to all before it.

`h[i] = SHA-256(h[i-1] || line[i])`, where `line[i]` is the line without its final `,"prev":"…"` member and
without the newline. Each line names `h[i-1]` in `prev`; the first line ever names 32 zero octets, and the first
line of a later file the last hash of the file before it.
"""

from hashlib import sha256

from enforcer.errors import Corrupt

GENESIS = bytes(32)

_END = b'"}'
_PREV = b',"prev":"'
_TAIL = len(_PREV) + 64 + len(_END)


def link(head: bytes, body: bytes) -> bytes:
    """The hash after one more line. head: 32 octets; body: the line without `prev`, closing brace included."""
    return sha256(head + body).digest()


def seal(head: bytes, body: bytes) -> bytes:
    """The line that is written, newline included, for a body that follows `head`."""
    return b'%b,"prev":"%b"}\n' % (body[:-1], head.hex().encode())


def body_after(head: bytes, line: bytes) -> bytes | None:
    """The body of a line, newline included, that is written as `seal` does behind `head`; None of any other."""
    tail = b',"prev":"%b"}\n' % head.hex().encode()
    return line[: -len(tail)] + b"}" if line.endswith(tail) else None


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
