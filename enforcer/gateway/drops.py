"""What the rules have rejected, to attempts: the kernel's counts, each second, and what is new of them.

The kernel counts by interface, client, destination, protocol and port, for as long as something was rejected within
the hour. What was taken over already is kept in a file, so that a process that is replaced counts on; the file names
the table, since one that was made anew begins at zero.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from enforcer.gateway.nft import Dropped


class Key(NamedTuple):
    """What the kernel tells apart. kind: the set, as in `address4`."""

    kind: str
    interface: str
    source: str
    target: str
    protocol: str
    port: int


@dataclass(slots=True)
class Taken:
    """What has been taken over. table: which one. counts: packets by key, with the seconds its element had left.

    totals: attempts by service and layer. counters: the table's named counters.
    """

    table: str
    counts: dict[Key, tuple[int, int]]
    totals: dict[tuple[str, str], int]
    counters: dict[str, int] = field(default_factory=dict)

    def grown(self, counters: Mapping[str, int]) -> dict[str, int]:
        """How much each named counter has grown."""
        grown = {name: count - self.counters.get(name, 0) for name, count in counters.items()}
        self.counters = dict(counters)
        return grown

    def fresh(self, kind: str, dropped: Iterable[Dropped]) -> Iterator[tuple[Dropped, int]]:
        """What is new in a set, with how often; it counts as taken over when the next one is asked for."""
        gone = {key for key in self.counts if key.kind == kind}
        for each in dropped:
            key = Key(kind, each.interface, each.source, each.target, each.protocol, each.port)
            gone.discard(key)
            count, left_s = self.counts.get(key, (0, 0))
            if each.packets > count:
                yield each, each.packets - count
            elif each.packets < count or each.expires_s > left_s:  # it had lapsed, and was made anew
                yield each, each.packets
            self.counts[key] = each.packets, each.expires_s
        for key in gone:
            del self.counts[key]

    def add(self, service: str, layer: str, count: int) -> None:
        """Count attempts."""
        self.totals[service, layer] = self.totals.get((service, layer), 0) + count


def read_taken(path: Path, table: str) -> Taken:
    """What the file says of this table; of another one, or a damaged file, only the totals, or nothing."""
    try:
        raw = json.loads(path.read_bytes())
        counts = {Key(*key): (count, left) for key, count, left in raw["counts"]} if raw["table"] == table else {}
        totals = {(service, layer): count for service, layer, count in raw["totals"]}
        return Taken(table, counts, totals, raw["counters"] if raw["table"] == table else {})
    except (OSError, ValueError, KeyError, TypeError):
        return Taken(table, {}, {})


def write_taken(path: Path, taken: Taken) -> None:
    """Put it into the file, whole or not at all."""
    text = json.dumps(
        {
            "table": taken.table,
            "totals": [[*key, count] for key, count in taken.totals.items()],
            "counters": taken.counters,
            "counts": [[key, *count] for key, count in taken.counts.items()],
        }
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def totals(path: Path) -> Mapping[tuple[str, str], int]:
    """Attempts by service and layer, for whoever publishes them."""
    return read_taken(path, "").totals
