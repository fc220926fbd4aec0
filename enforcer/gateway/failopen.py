"""Which parts are failed open: only those that the configuration names, and only after a while without a sign of life.

What counts is that a process's heartbeat moves, not what it says, so a step of the clock opens nothing. The kernel is
told with an element that lapses after LEASE_S unless it is told again: a gateway that is dead itself leaves nothing
open. Only the gate needs no telling: the kernel sees whether its queue has a reader.
"""

from collections.abc import Iterable, Mapping, Sequence

from enforcer.gateway.ruleset import OPENED, TABLE

LEASE_S = 5
QUEUE_S = 3.0
"""The kernel opens for a gate that is gone at once; we say so when its heartbeat has been missing for this long."""

GATE = "gate"


class Pulses:
    """Since when each process's heartbeat stands still."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def hear(self, beats: Mapping[str, int], now_s: float) -> None:
        """Take what the heartbeats say, by process; 0 for one that has never had any. now_s: steady seconds."""
        for name, beat in beats.items():
            if name not in self._last or self._last[name][0] != beat:
                self._last[name] = beat, now_s

    def silent_s(self, name: str, now_s: float) -> float:
        """For how long a process has given no sign of life; for one not heard of yet, 0."""
        return now_s - self._last[name][1] if name in self._last else 0.0


def opened(
    named: Iterable[str], processes: Mapping[str, Sequence[str]], pulses: Pulses, after_s: float, now_s: float
) -> frozenset[str]:
    """The parts that are open now, of those that are named.

    processes: by part, what it is made of. A part is dead when all of it is; of the gate each process has its own
    queue, and what comes to that passes.
    """
    found: set[str] = set()
    for part in named:
        silent = [pulses.silent_s(name, now_s) for name in processes.get(part, ())]
        if silent and (max(silent) >= QUEUE_S if part == GATE else min(silent) >= after_s):
            found.add(part)
    return frozenset(found)


def lease(ports: Iterable[int]) -> str:
    """What makes nft open these ports, for LEASE_S from now, and no others."""
    listed = ", ".join(f"{port} timeout {LEASE_S}s" for port in sorted(ports))
    added = f"add element inet {TABLE} {OPENED} {{ {listed} }}\n" if listed else ""
    return f"flush set inet {TABLE} {OPENED}\n{added}"
