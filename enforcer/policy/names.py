"""Names as people write them, to names as they are compared, and back (RFC 1035 §5.1, UTS #46)."""

import re

import idna

from enforcer.errors import Malformed
from enforcer.wire.name import Name, labels

ROOT: Name = b"\0"

_MAX_OCTETS = 255
LDH = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
_SIZES = tuple(bytes((size,)) for size in range(64))
_SHOWN = {octet: chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}" for octet in range(256)}
_SHOWN |= {ord("."): "\\.", ord("\\"): "\\\\"}
_SCHEME = re.compile(r"\A[a-z][a-z0-9+.-]*://")


def parse(text: str) -> Name:
    """The one form in which a name is compared: A-labels (UTS #46, then IDNA 2008), lower case, on the wire.

    text: labels of letters, digits, hyphens and underscores, or of other scripts; one final dot is taken off.
    "." is the root. Raises Malformed with a text that says what to write instead, where that can be guessed.
    """
    name = _wire(text)
    if name is not None:
        return name
    guess = _guess(text)
    raise Malformed(f'"{text}" is not a domain name' + (f'; did you mean "{guess}"?' if guess else ""))


def wire(text: bytes) -> Name | None:
    """The wire name of lower-case A-labels without a final dot; None when they are not a name."""
    if text.translate(None, LDH + b"."):
        return None
    labels_ = text.split(b".")
    if b"" in labels_ or len(text) > _MAX_OCTETS - 2:
        return None
    try:
        return join(labels_)
    except IndexError:
        return None


def join(labels_: list[bytes]) -> Name:
    """The wire name of labels that are not empty and altogether not too long; IndexError for one of over 63 octets.

    Written out for two and three labels, which most of a million names have.
    """
    if len(labels_) == 2:
        a, b = labels_
        return b"".join((_SIZES[len(a)], a, _SIZES[len(b)], b, ROOT))
    if len(labels_) == 3:
        a, b, c = labels_
        return b"".join((_SIZES[len(a)], a, _SIZES[len(b)], b, _SIZES[len(c)], c, ROOT))
    return b"".join([_SIZES[len(label)] + label for label in labels_]) + ROOT


def display(name: Name) -> str:
    r"""The name for people and records: without the final dot, "." for the root.

    Within a label a dot and a backslash stand behind a backslash, and what does not print is \DDD (RFC 1035 §5.1).
    """
    parts = labels(name)
    plain = b".".join(parts)
    if not plain.translate(None, LDH + b".") and plain.count(b".") == len(parts) - 1:
        return plain.decode()
    return ".".join("".join(map(_SHOWN.__getitem__, label)) for label in parts) or "."


def _wire(text: str) -> Name | None:
    if text == ".":
        return ROOT
    if not text.isascii():
        if len(text) > _MAX_OCTETS:
            return None  # an A-label has more octets than it shows characters, and takes the square of them to make
        try:
            text = idna.uts46_remap(text, std3_rules=False, transitional=False)
            text = ".".join(part if part.isascii() else idna.alabel(part).decode() for part in text.split("."))
        except (idna.IDNAError, UnicodeError):
            return None
    return wire(text.removesuffix(".").lower().encode())


def _guess(text: str) -> str | None:
    """What was probably meant: an address of a page, a wildcard, or a name with a slip of the keyboard in it."""
    guess = _SCHEME.sub("", text.strip().lower(), count=1)
    guess = guess.split("/")[0].rpartition("@")[2].partition(":")[0]
    guess = guess.replace(",", ".").replace(";", ".").replace(" ", "").replace("*", "")
    guess = ".".join(part for part in guess.split(".") if part)
    name = _wire(guess)
    return None if name is None or "." not in guess else guess
