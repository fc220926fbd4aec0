"""Marks: what the rules and the gate tell each other about a connection or a packet, in 32 bits.

The mark on a connection (of conntrack), as a word whose first bits are its state:

    00…                          none of ours, or opened before the rules were there
    01 sequence:30               undecided; the low 30 bits of its SYN's sequence number, 0 off TCP
    100 generation:8 number:21   allowed under a generation of the policy; the gate knows by the number what it showed
    110…                         refused

Queued packets bear their connection's mark. The gate's verdict is a mark on the packet, which the rules behind the
queue take over: `111 generation:8 number:21` allows, PASS gives on without deciding, REFUSE refuses. So a packet that
nobody has judged cannot look as if somebody had.

nft stores a sequence number as the packet has it, or turned to the machine's own order: releases differ. A word
becomes the number that rules compare accordingly, so that the state's bits stay where the rules look for them.
"""

import sys
from dataclasses import dataclass

STATE = 0xC0000000
PENDING = 0x40000000
ALLOWED = 0x80000000
REFUSED = 0xC0000000

SEQUENCE = 0x3FFFFFFF
NUMBER = 0x001FFFFF
GENERATION = 0x1FE00000
CURRENT = ALLOWED | 0x60000000 | GENERATION
"""What of an allowed connection's mark says under which policy it was allowed."""

VERDICT = 0xE0000000
PASS = 0xC0000001
REFUSE = 0xC0000002

NEVER_CURRENT = 0
"""The generation of what is judged packet by packet: it is allowed for a while only."""

_SHIFT = 21
_GENERATIONS = 255


@dataclass(frozen=True, slots=True)
class Order:
    """How words lie in the kernel's marks. turned: the sequence number is stored in the machine's own order."""

    turned: bool = False

    def number(self, word: int) -> int:
        """The number that nft and iptables write for a word; its own inverse."""
        return word if self.turned else int.from_bytes(word.to_bytes(4), sys.byteorder)

    def message(self, word: int) -> int:
        """The same as it lies in a message of NFQUEUE, which turns numbers to network order; its own inverse."""
        return int.from_bytes(word.to_bytes(4), sys.byteorder) if self.turned else word


def generation_of(generation: int) -> int:
    """The generation of the orders as marks have it: 1 to 255, so that a connection would have to idle for 255."""
    return generation % _GENERATIONS + 1


def current(generation: int) -> int:
    """What CURRENT of an allowed connection's mark is under this generation, of 8 bits."""
    return ALLOWED | generation << _SHIFT


def allow(generation: int, number: int) -> int:
    """The verdict that allows, under a generation of 8 bits. number: what the gate will know it by."""
    return VERDICT | generation << _SHIFT | number
