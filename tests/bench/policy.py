"""A policy of a million names: how long it takes to make and to load, what it holds, what one question costs.

    python tests/bench/policy.py

A look-up's time is the best of several rounds. `cold` asks for names from all over the file, so that each look-up
waits for memory; `warm` asks for one name again and again.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enforcer.blocklists import compile_to, load_lists, load_third_party, open_policy, shipped_folder
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.names import parse
from enforcer.policy.thirdparty import Source
from enforcer.policy.verdict import Client, Destination, Layer
from enforcer.wire.name import Name

NAMES = 1_000_000
ASKED = 50_000
ROUNDS = 5
NOW = datetime(2026, 11, 24, tzinfo=UTC)
CLIENT = Client(realm="bench")

type Row = tuple[str, str]
"""What was measured, and the figure with its unit."""


@dataclass(frozen=True, slots=True)
class Timed[T]:
    """A result, and the seconds that it took."""

    value: T
    s: float


def main() -> list[Row]:
    """Make a policy of the shipped lists and a million third-party suffixes; ask it in a process of its own."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "names.txt"
        written.write_text("".join(f"{a_name(chance)}\n" for _ in range(NAMES)))
        source = Source("names", str(written), "others")
        own = timed(lambda: load_lists(sorted(shipped_folder().glob("*.yaml")), NOW.date()))
        read = timed(lambda: load_third_party([source], Path(folder) / "copies")[0])
        path = timed(lambda: compile_to(Path(folder) / "policy", own.value, read.value, PolicySettings()))
        checked = timed(lambda: open_policy(path.value))
        rows = [
            ("names", f"{len(read.value[0].suffixes):,}"),
            ("read the shipped lists", f"{own.s * 1e3:.0f} ms"),
            ("read the third-party list", f"{read.s:.2f} s"),
            ("compile and write", f"{path.s:.2f} s, {path.value.stat().st_size / 1e6:.1f} MB"),
            ("open and verify, as the hub", f"{checked.s * 1e3:.0f} ms"),
            ("from lists to a policy in use", f"{own.s + read.s + path.s + checked.s:.2f} s"),
            ("memory of the compiling process at its peak", f"{status('VmHWM'):.0f} MB"),
        ]
        command = [sys.executable, __file__, str(path.value), str(written)]
        asked = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [*rows, *((what, figure) for what, figure in json.loads(asked.stdout))]


def worker(path: Path, written: Path) -> list[Row]:
    """What a worker does and holds."""
    chance = random.Random(2)
    listed = [parse(name) for name in chance.sample(written.read_text().split(), ASKED)]
    before = status("RssAnon")
    opened = timed(lambda: open_policy(path, verify=False))
    policy, own = opened.value, status("RssAnon") - before
    find = policy._table.find
    asked: dict[str, Sequence[Name]] = {
        f"miss, {labels} labels, {kind}": [parse(f"{'a.b.c.'[: 2 * (labels - 2)]}{a_label(chance)}.com")] * repeat
        if kind == "warm"
        else [parse(f"{'a.b.c.'[: 2 * (labels - 2)]}{a_label(chance)}.com") for _ in range(ASKED)]
        for labels in (3, 4, 5)
        for kind, repeat in (("warm", ASKED), ("cold", 1))
    }
    asked["hit, warm"] = listed[:1] * ASKED
    asked["hit, cold"] = [bytes(bytearray(name)) for name in listed]
    asked["hit below, cold"] = [b"\x03www" + name for name in listed]
    rows = [(f"find: {what}", f"{ns(find, names):,.0f} ns") for what, names in asked.items()]
    for what in ("miss, 3 labels, warm", "hit, warm", "hit below, cold"):
        destinations = [Destination(Layer.DNS, name) for name in asked[what]]
        rows.append((f"judge: {what}", f"{ns(lambda each: policy.judge(each, CLIENT, NOW), destinations):,.0f} ns"))
    return [
        ("load, as a worker", f"{opened.s * 1e3:.1f} ms"),
        ("memory of a worker's own for the policy", f"{own:.1f} MB"),
        ("memory shared with the page cache, after asking", f"{status('RssFile'):.0f} MB"),
        *rows,
    ]


def a_name(chance: random.Random) -> str:
    below = "ads." if chance.random() < 0.4 else ""
    return f"{below}{a_label(chance)}.{chance.choice(('com', 'net', 'org', 'de', 'fr', 'co.uk', 'info'))}"


def a_label(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=chance.randint(5, 14)))


def timed[T](work: Callable[[], T]) -> Timed[T]:
    start = time.perf_counter()
    value = work()
    return Timed(value, time.perf_counter() - start)


def ns[T](ask: Callable[[T], object], asked: Sequence[T]) -> float:
    """Nanoseconds for one of them, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for each in asked:
            ask(each)
        rounds.append(time.perf_counter_ns() - start)
    return min(rounds) / len(asked)


def status(field: str) -> float:
    """Megabytes, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(worker(Path(sys.argv[1]), Path(sys.argv[2]))))
    else:
        for what, figure in main():
            print(f"{what:52} {figure}")
