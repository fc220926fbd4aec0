"""What allowed connections have shown, by the numbers in their marks, in memory alone.

A connection that was allowed bears a number instead of a place in a table of connections: what many have shown alike
is kept once. When the policy changes, their next packet comes with the number, and is judged by what it stands for.
"""

from enforcer.decide.flow import Seen
from enforcer.gateway.marks import NUMBER

KEPT_MAX = 65_536


class Remembered:
    """Numbers for the newest `kept_max` things that were shown. A number means one thing until all are used up."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._max = kept_max
        self._next = 0
        self._numbers: dict[Seen, int] = {}  # least recently shown first
        self._seen: dict[int, Seen] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, seen: Seen) -> int:
        """The number for what a connection has shown."""
        number = self._numbers.pop(seen, None)
        if number is None:
            if len(self._numbers) >= self._max:
                oldest = next(iter(self._numbers))
                del self._seen[self._numbers.pop(oldest)]
            number = self._next
            self._next = self._next + 1 & NUMBER
            lost = self._seen.pop(number, None)  # the numbers have gone round, and somebody shows it still
            if lost is not None:
                del self._numbers[lost]
            self._seen[number] = seen
        self._numbers[seen] = number
        return number

    def seen(self, number: int) -> Seen | None:
        """What a number stands for; None when it is forgotten, or of another process than this."""
        return self._seen.get(number)
