"""Domain names on the wire (RFC 1035 §3.1, §4.1.4).

A name is compared as its wire form, never as text: one label that contains a dot is not two labels (RFC 2181 §11),
and only the letters A-Z have a second case (RFC 4343).
"""

from collections.abc import Iterator

from enforcer.errors import Malformed

type Name = bytes
"""An uncompressed wire name: labels, each behind its length octet, and the zero octet; ASCII letters in lower case.

At most 255 octets. Lower case is `bytes.lower()` on the whole: a length octet is at most 63, below every letter.
"""

_MAX_OCTETS = 255
_MAX_POINTERS = 127  # a name has at most 127 labels, so a longer chain of pointers compresses nothing
_HEADER = 12


def read_name(message: bytes, at: int) -> tuple[Name, int]:
    """Read the name that begins at octet `at` of a whole message; returns it and the offset behind it in place.

    Raises Malformed for a length octet of 0x40-0xBF, a name of more than 255 octets or cut short by the message's
    end, more than 127 pointers, and a pointer to anything but a prior name: one behind the header that ends before
    the labels which the pointer continues. So reading ends, and nothing behind a name or in the header changes it.
    """
    name, end = spell_out(message, at)
    return name.lower(), end


def spell_out(message: bytes, at: int) -> tuple[bytes, int]:
    """As `read_name`, in the letter case of the message."""
    start = run = at  # run: where the labels that are being read begin
    bound = len(message) + 1  # where they have to end
    end = 0  # the offset behind the first pointer; 0 while there was none
    room = _MAX_OCTETS
    parts: list[bytes] = []
    try:
        for _ in range(_MAX_POINTERS + 1):
            while size := message[at]:
                if size > 63:
                    break
                at += size + 1
                if at - run >= room:
                    raise Malformed(f"name at octet {start}: longer than 255 octets")
            if at + (2 if size else 1) > bound:
                raise Malformed(f"name at octet {start}: a pointer leads to a name that ends behind the pointer's")
            if not size:
                parts.append(message[run : at + 1])
                return b"".join(parts), end or at + 1
            parts.append(message[run:at])
            room -= at - run
            end = end or at + 2
            bound, run = run, _pointer(message, at, run)
            at = run
    except IndexError:
        raise Malformed(f"name at octet {start}: the message ends inside it") from None
    raise Malformed(f"name at octet {start}: more than {_MAX_POINTERS} pointers")


def skip_name(message: bytes, at: int) -> int:
    """The offset behind the name at octet `at`, without following its pointer.

    Raises Malformed as `read_name` does for what stands in place; what a pointer leads to is not looked at.
    """
    run = at
    try:
        while size := message[at]:
            if size > 63:
                _pointer(message, at, run)
                return at + 2
            at += size + 1
            if at - run >= _MAX_OCTETS:
                raise Malformed(f"name at octet {run}: longer than 255 octets")
    except IndexError:
        raise Malformed(f"name at octet {run}: the message ends inside it") from None
    return at + 1


def labels(name: Name) -> tuple[bytes, ...]:
    """The name's labels from left to right, without the root's empty one."""
    found = []
    at = 0
    while size := name[at]:
        found.append(name[at + 1 : at + 1 + size])
        at += size + 1
    return tuple(found)


def parents(name: Name) -> Iterator[Name]:
    """Each name above this one, the nearest first, the root last; the root has none."""
    while size := name[0]:
        name = name[size + 1 :]
        yield name


def _pointer(message: bytes, at: int, run: int) -> int:
    """Where the pointer at `at` leads, that ends the labels which begin at `run` (RFC 1035 §4.1.4: a prior name)."""
    if message[at] < 0xC0:
        raise Malformed(f"name at octet {run}: 0x{message[at]:02x} is neither a length nor a pointer")
    target = (message[at] & 0x3F) << 8 | message[at + 1]
    if not _HEADER <= target < run:
        where = "not before it" if target >= run else "in the header"
        raise Malformed(f"name at octet {run}: its pointer leads to octet {target}, {where}")
    return target
