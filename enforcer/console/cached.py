"""Answers that take long and may be a minute old: what menus offer, and which devices try most."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from enforcer.errors import EnforcerError

FRESH_S, USABLE_S = 60.0, 900.0


@dataclass(slots=True)
class _Answer[T]:
    value: T
    at_s: float
    renewing: bool = False


class Cached[T]:
    """By key. A fresh answer is given as it is; an older one too, while a thread makes a new one; else it is awaited.

    seconds: the clock. Nobody waits for what somebody else has asked a moment ago.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._answers: dict[Hashable, _Answer[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer. make: how it is made; what it raises is raised, unless there is an answer that will do."""
        now_s = self._seconds()
        with self._lock:
            found = self._answers.get(key)
            age_s = USABLE_S if found is None else now_s - found.at_s
            if found is not None and age_s < USABLE_S:
                if age_s >= FRESH_S and not found.renewing:
                    found.renewing = True
                    threading.Thread(target=self._renew, args=(key, make), daemon=True).start()
                return found.value
        return self._keep(key, make())

    def _renew(self, key: Hashable, make: Callable[[], T]) -> None:
        try:
            self._keep(key, make())
        except EnforcerError:  # told when somebody has to wait for it
            with self._lock:
                self._answers[key].renewing = False

    def _keep(self, key: Hashable, value: T) -> T:
        with self._lock:
            self._answers[key] = _Answer(value, self._seconds())
        return value
