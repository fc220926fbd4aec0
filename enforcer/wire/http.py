"""The head of a plain-text HTTP request (RFC 9112), as far as it shows where the client wants to go.

Read as leniently as servers read it: empty lines in front, lines that end in LF alone, white space around a field's
name, folded lines, several Host lines. Which of them a server follows is not ours to guess, so all are given.
"""

import re
from dataclasses import dataclass

from enforcer.errors import Malformed

HEAD_MAX = 0x8000
"""Octets that we take for a head; servers take 8 to 32 KiB unless told otherwise."""

_EMPTY_MAX = 64  # octets of empty lines in front of a request; servers skip one or a few
_METHOD_MAX = 32
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 §5.6.2
_METHOD = re.compile(rb"%b{1,%d}" % (_TOKEN, _METHOD_MAX))
_VERSION = re.compile(rb"HTTP/[0-9](?:\.[0-9])?")
_BLANK = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINES = re.compile(rb"[\r\n]+")
_BETWEEN_HOSTS = re.compile(rb"[\s,;/\\?#]+")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/\\?#]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    hosts: who is asked for, in the target and in every Host line, without user and port, as written otherwise; empty
    where nobody is. path: the target from its first slash on, with its query; None where it has none (CONNECT, `*`).
    fields: the head's lines, names in lower case, folded lines in one. size: octets up to the end of the head.
    """

    method: bytes
    target: bytes
    hosts: tuple[bytes, ...]
    path: bytes | None
    fields: tuple[tuple[bytes, bytes], ...]
    size: int

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """The value of each line of this name, given in lower case."""
        return tuple(value for key, value in self.fields if key == name)


def is_http(data: bytes | bytearray) -> bool | None:
    """Whether a connection that begins with these octets is HTTP; None: more of them would tell.

    It is when its first line is a request: a method, white space, a target and a version, which GET may leave out
    (HTTP/0.9). So is the preface of HTTP/2. Other protocols of text are told apart by the end of their first line.
    """
    start, end = _first_line(data)
    if start > _EMPTY_MAX:
        return False
    if end < 0:
        method = _METHOD.match(bytes(data[start : start + _METHOD_MAX + 1]))
        begun = method is not None and data[start + len(method[0]) :][:1] in (b"", b" ", b"\t")
        return None if start == len(data) or (begun and len(data) < HEAD_MAX) else False
    return _request_line(bytes(data[start:end])) is not None


def read_request(data: bytes) -> Request | None:
    """Read the head of the request that `data` begins with (RFC 9112 §2); it may stop anywhere.

    Returns None while more is needed. Raises Malformed when nothing that follows could make a request of it.
    """
    begun = is_http(data)
    if begun is None:
        return None
    start, end = _first_line(data)
    line = _request_line(data[start:end]) if begun else None
    if line is None:
        raise Malformed("HTTP request: the first line is no request line")
    method, target, version = line
    if not version:
        return _request(method, target, (), end + 1)
    blank = _BLANK.search(data, end, HEAD_MAX)
    if blank is None:
        if len(data) >= HEAD_MAX:
            raise Malformed(f"HTTP request: the head has more than {HEAD_MAX} octets")
        return None
    fields = []
    for each in _LINES.split(_FOLD.sub(b" ", data[end : blank.start()])):
        name, colon, value = each.partition(b":")
        if colon:
            fields.append((name.strip().lower(), value.strip()))
    return _request(method, target, tuple(fields), blank.end())


def may_end(data: bytes | bytearray, at: int) -> bool:
    """Whether a head that did not end before octet `at` can be read to its end now, or given up."""
    return len(data) >= HEAD_MAX or _BLANK.search(data, max(at - 2, 0)) is not None


def hosts_in(text: bytes) -> tuple[bytes, ...]:
    """The hosts in the value of a Host line, which should be one (RFC 9110 §7.2), without user, port and brackets."""
    return tuple(host for each in _BETWEEN_HOSTS.split(text) if (host := _host(each)))


def normal_path(path: bytes) -> str:
    """A path as rules are compared with it, since servers take each form for the same (RFC 3986 §6.2.2).

    Letters, digits and `-._~/` decoded, runs of slashes as one, dot segments taken out; its query stays as it is.
    """
    decoded, mark, query = path.partition(b"?")
    decoded = _ESCAPED.sub(_unescaped, decoded)
    kept: list[bytes] = []
    parts = decoded.split(b"/")
    for part in parts:
        if part == b"..":
            del kept[-1:]
        elif part not in (b"", b"."):
            kept.append(part)
    tail = b"/" if kept and parts[-1] in (b"", b".", b"..") else b""
    return (b"/" + b"/".join(kept) + tail + mark + query).decode("latin-1")


def _unescaped(found: re.Match[bytes]) -> bytes:
    octet = bytes((int(found[1], 16),))
    return octet if octet.isalnum() or octet in (b"-", b".", b"_", b"~", b"/") else found[0]


def _first_line(data: bytes | bytearray) -> tuple[int, int]:
    """Where the first line that is not empty begins, and where its LF is; -1 while it is not there."""
    head = bytes(data[: _EMPTY_MAX + 1])
    start = len(head) - len(head.lstrip(b"\r\n"))
    return start, data.find(b"\n", start)


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Method, target and version, which is empty for HTTP/0.9; None for a line of another protocol."""
    words = line.split()
    if len(words) < 2 or _METHOD.fullmatch(words[0]) is None or line[:1].isspace():
        return None
    method, *target = words
    version = target.pop() if len(target) > 1 and _VERSION.fullmatch(target[-1]) else b""
    return (method, b" ".join(target), version) if version or method == b"GET" else None


def _request(method: bytes, target: bytes, fields: tuple[tuple[bytes, bytes], ...], size: int) -> Request:
    hosts, path = _target(method, target)
    named = (host for name, value in fields if name == b"host" for host in hosts_in(value))
    return Request(method, target, tuple(dict.fromkeys((*hosts, *named))), path, fields, size)


def _target(method: bytes, target: bytes) -> tuple[tuple[bytes, ...], bytes | None]:
    """The hosts and the path in a target of any form (RFC 9112 §3.2)."""
    if target.startswith(b"/"):
        return (), target
    if target in (b"*", b""):
        return (), None
    absolute = _ABSOLUTE.match(target)
    if absolute is None or method == b"CONNECT":
        return hosts_in(target), None
    rest = target[absolute.end() :]
    return hosts_in(absolute[1]), rest if rest.startswith(b"/") else b"/" + rest


def _host(authority: bytes) -> bytes:
    host = authority.rpartition(b"@")[2]
    return host[1:].partition(b"]")[0] if host.startswith(b"[") else host.partition(b":")[0]
