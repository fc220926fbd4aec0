"""Who has signed in: kept here, so that signing out ends it; a restart of the console ends all. Time is an argument."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from enforcer.console.roles import Person

_MOST = 2000


@dataclass(slots=True)
class Session:
    """One sign-in."""

    person: Person
    began_s: float
    seen_s: float


class Sessions:
    """By the SHA-256 of the cookie's value, so that what is in memory opens nothing.

    idle_s: without a request for so long it ends. whole_s: it ends so long after it began, in any case.
    """

    def __init__(self, idle_s: float, whole_s: float) -> None:
        self._idle_s, self._whole_s = idle_s, whole_s
        self._by_hash: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, person: Person, now_s: float) -> str:
        """A new session; returns the cookie's value, 256 bits of chance."""
        value = secrets.token_urlsafe(32)
        self._by_hash[_hash(value)] = Session(person, now_s, now_s)
        if len(self._by_hash) > _MOST:
            self._by_hash.popitem(last=False)
        return value

    def find(self, value: str, now_s: float) -> Session | None:
        """The session of a cookie, and that it was seen now; None when there is none, or no more."""
        key = _hash(value)
        found = self._by_hash.get(key)
        if found is None:
            return None
        if now_s - found.seen_s > self._idle_s or now_s - found.began_s > self._whole_s:
            del self._by_hash[key]
            return None
        found.seen_s = now_s
        return found

    def end(self, value: str) -> Session | None:
        """Forget a session; returns whose it was."""
        return self._by_hash.pop(_hash(value), None)


def _hash(value: str) -> bytes:
    return sha256(value.encode()).digest()
