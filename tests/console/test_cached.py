import threading

import pytest

from enforcer.console.cached import FRESH_S, USABLE_S, Cached
from enforcer.errors import Unavailable


class Source:
    """Counts, and waits when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.made = threading.Event()
        self.away = False

    def __call__(self) -> int:
        if self.away:
            self.made.set()
            raise Unavailable("gone")
        self.count += 1
        self.made.set()
        return self.count


def test_a_fresh_answer_is_given_as_it_is() -> None:
    now, source = [0.0], Source()
    cached = Cached[int](lambda: now[0])
    assert [cached.get("a", source), cached.get("a", source), cached.get("b", source)] == [1, 1, 2]
    now[0] = FRESH_S - 1
    assert cached.get("a", source) == 1
    assert source.count == 2


def test_an_older_one_is_renewed_while_it_is_given() -> None:
    now, source = [0.0], Source()
    cached = Cached[int](lambda: now[0])
    cached.get("a", source)
    now[0] = FRESH_S
    source.made.clear()
    assert cached.get("a", source) == 1
    assert source.made.wait(10)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon and "_renew" in thread.name:
            thread.join(10)
    assert cached.get("a", source) == 2


def test_too_old_a_one_is_not_given() -> None:
    now, source = [0.0], Source()
    cached = Cached[int](lambda: now[0])
    cached.get("a", source)
    now[0] = USABLE_S
    assert cached.get("a", source) == 2


def test_trouble_is_told_to_who_has_to_wait() -> None:
    now, source = [0.0], Source()
    cached = Cached[int](lambda: now[0])
    cached.get("a", source)
    source.away, now[0] = True, FRESH_S
    source.made.clear()
    assert cached.get("a", source) == 1
    assert source.made.wait(10)
    now[0] = USABLE_S
    with pytest.raises(Unavailable):
        cached.get("a", source)
