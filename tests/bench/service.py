"""The whole service, as `enforcer run` starts it: memory, a burst of queries, reloads under load, a retry storm."""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from enforcer.control import ask
from tests.bench import peers, questions
from tests.bench.load import probe
from tests.bench.peers import Peer, Place
from tests.bench.process import free_port
from tests.bench.tables import mb, ms, print_table

WORKERS = 2
IDLE_S = 3.0
BURST_S = 60.0
BURST_RATE = 40_000
STEADY_S = 8.0
STEADY_RATE = 10_000
RELOAD_EVERY_S = 2.0
STORM_RATE = 8_000  # of one device that takes no refusal for an answer, against STEADY_RATE of all others
STORM_FROM = "127.0.0.100"
CATCH_UP_S = 1.0  # the hub reads the spool ten times a second


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of the queries of one load. recorded: the attempts that are in the records since it began."""

    completed: int
    lost: int
    wrong: int
    refused: int
    recorded: int
    p99_s: float

    def row(self, what: str) -> Sequence[str]:
        """A line of the table."""
        numbers = (self.completed, self.lost, self.wrong, self.refused, self.recorded)
        return (what, *(f"{number:,}" for number in numbers), ms(self.p99_s))


def main() -> None:
    """Measure, and print a table."""
    rules = questions.banned()
    with TemporaryDirectory(prefix="enforcer-bench-") as name, peers.forwarded_to(Path(name)) as upstream:
        place = Place(Path(name), rules, free_port(), upstream)
        # All others ask from one address, which stands for many of them.
        limits = {"per_client_qps": 50, "burst": 200, "trusted_forwarders": ["127.0.0.1/32"]}
        with peers.whole(place, WORKERS, limits) as peer:
            peers.wait_until_ready(peer)
            time.sleep(IDLE_S)
            idle = peer.process.memory()
            burst = asked(peer, place, BURST_S, BURST_RATE)
            after = peer.process.memory()
            steady = asked(peer, place, STEADY_S, STEADY_RATE)
            with reloading(place) as reloads:
                reloaded = asked(peer, place, STEADY_S, STEADY_RATE)
            with storm(peer, place):
                stormy = asked(peer, place, STEADY_S, STEADY_RATE)
    print(f"Everything, with {WORKERS} workers, 80 % cached and 20 % blocked, on all cores together with the load")
    columns = ("", "answers", "lost", "wrong", "refused", "recorded", "p99 ms")
    rows = [
        burst.row(f"burst, {BURST_RATE:,} queries/s for {BURST_S:.0f} s"),
        steady.row(f"steady, {STEADY_RATE:,} queries/s for {STEADY_S:.0f} s"),
        reloaded.row(f"the same with {len(reloads)} reloads, each with a changed list"),
        stormy.row(f"the same beside one device with {STORM_RATE:,} queries/s (what it had recorded is counted too)"),
    ]
    print_table(columns, rows)
    print(f"Memory of all processes: {mb(idle)} MB idle, {mb(after)} MB after the burst")


def asked(peer: Peer, place: Place, seconds: float, rate: float) -> Asked:
    """Queries at a rate, and what was recorded of them."""
    before = peers.recorded(peer)
    path = questions.write(place.folder / "mixed", questions.mixed(place.rules), questions.QUERIES)
    result, answers = probe(peer.port, path, seconds, None, rate=rate, right=questions.judge(place.rules))
    time.sleep(CATCH_UP_S)
    return Asked(
        completed=result.completed,
        lost=result.lost,
        wrong=answers.wrong.total(),
        refused=result.refused,
        recorded=peers.recorded(peer) - before,
        p99_s=answers.quantile(0.99),
    )


@contextmanager
def storm(peer: Peer, place: Place) -> Iterator[None]:
    """While the block lasts, one device asks for what is banned as often as it can."""
    path = place.folder / "storm"
    path.write_text("www.wechat.com A\n")
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(peer.port), "-d", str(path), "-a", STORM_FROM, "-t", "1"]
    command += ["-l", str(STEADY_S + 2 * CATCH_UP_S), "-Q", str(STORM_RATE), "-q", str(2 * STORM_RATE)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(CATCH_UP_S)
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def reloading(place: Place) -> Iterator[list[str]]:
    """While the block lasts, reload every RELOAD_EVERY_S with one rule more or less; the rulesets that came of it."""
    over = threading.Event()
    rulesets: list[str] = []

    def again() -> None:
        while not over.wait(RELOAD_EVERY_S):
            more = () if len(rulesets) % 2 else ("one-more.example",)
            peers.write_list(place.folder / "bench.yaml", [*place.rules, *more])
            answer = ask(place.folder / "data" / "run" / "control.sock", {"op": "reload", "who": "bench"})
            rulesets.append(str(answer["ruleset"]))

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield rulesets
    finally:
        over.set()
        thread.join()
