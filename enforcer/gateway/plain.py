"""The ClientHello that nearly every connection begins with, read fast: one record, one message, one name.

Whatever is unusual about it is for `decide.flow`, which reads everything; what this reads, that reads alike.
"""

import struct
from struct import Struct
from typing import NamedTuple

from enforcer.wire.tls import ENCRYPTED, HELLO_MAX

_EXTENSION = Struct("!HH")
_SERVER_NAME, _ALPN = 0, 16


class Plain(NamedTuple):
    """What a record tells of a ClientHello.

    name: as sent. alpn: the extension's octets; None without. ech: as in `Seen`.
    """

    name: bytes
    alpn: bytes | None
    ech: bool


def plain_hello(data: bytes) -> Plain | None:
    """A ClientHello (RFC 8446 §4.1.2) with one name that fills `data` exactly; else None.

    None too for what is unusual: more records, more names, no name, lengths that do not agree.
    """
    size = len(data)
    if (
        not 50 <= size <= HELLO_MAX
        or data[0] != 22
        or data[1] != 3
        or (data[3] << 8 | data[4]) != size - 5
        or data[5] != 1
        or (data[6] << 16 | data[7] << 8 | data[8]) != size - 9
    ):
        return None
    name = alpn = None
    ech = False
    unpack = _EXTENSION.unpack_from
    try:
        at = 44 + data[43]
        at += 2 + (data[at] << 8 | data[at + 1])
        at += 1 + data[at]
        if at + 2 + (data[at] << 8 | data[at + 1]) != size:
            return None
        at += 2
        while at < size:
            kind, length = unpack(data, at)
            at += 4
            if kind == _SERVER_NAME:
                if length <= 5 or name is not None or data[at + 2]:
                    return None
                if (data[at] << 8 | data[at + 1], data[at + 3] << 8 | data[at + 4]) != (length - 2, length - 5):
                    return None
                name = data[at + 5 : at + length]
            elif kind == _ALPN:
                if alpn is not None:
                    return None
                alpn = data[at : at + length]
            elif kind in ENCRYPTED:
                ech = True
            at += length
    except (IndexError, struct.error):
        return None
    return None if name is None or at != size else Plain(name, alpn, ech)
