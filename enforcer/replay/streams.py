"""The segments of one direction of a TCP connection, put in order."""

WAITING_MAX = 0x8000
"""Octets that are held behind a gap; what is beyond is lost, and with it what it would have shown."""


class Stream:
    """One direction. first: the sequence number of its first octet."""

    __slots__ = ("_expected", "_held", "_waiting")

    def __init__(self, first: int) -> None:
        self._expected = first
        self._waiting: dict[int, bytes] = {}  # by how far behind what was given out
        self._held = 0

    def add(self, number: int, data: bytes) -> bytes:
        """What can be given out now, in order; empty while something before it is missing.

        number: the sequence number of the first octet (RFC 9293 §3.4). What was there before is left out: where two
        segments differ, the first that came counts.
        """
        ahead = (number - self._expected + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
        if ahead > 0:
            if self._held + len(data) <= WAITING_MAX and ahead not in self._waiting:
                self._waiting[ahead] = data
                self._held += len(data)
            return b""
        found = bytearray(data[-ahead:])
        for place in sorted(self._waiting):
            if place > len(found):
                break
            later = self._waiting.pop(place)
            self._held -= len(later)
            found += later[len(found) - place :]
        self._expected = self._expected + len(found) & 0xFFFF_FFFF
        self._waiting = {place - len(found): later for place, later in self._waiting.items()}
        return bytes(found)
