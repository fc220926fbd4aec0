"""One DNS worker beside Unbound, dnsdist and dnsmasq: queries per CPU-second, every block logged."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import peers, questions
from tests.bench.load import Answers, Result, load, probe
from tests.bench.peers import Peer, Place
from tests.bench.process import MEASURED, OTHER, find, free_port
from tests.bench.tables import mb, ms, print_table

ROUNDS = 5
ROUND_S = 1.2
PROBES = 3
PROBE_S = 1.0
REFERENCE = "Unbound"
NEW_A_SECOND = 120_000  # new names for each second of load, more than anybody forwards
SETS = {
    "mixed": "80 % cached, 20 % blocked",
    "blocked": "blocked only",
    "forwarded": "forwarded only, every name new",
}
HISTOGRAM = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)
COLUMNS = ("queries/s", "per CPU-s", f"of {REFERENCE}", "lost", "wrong", "p50 ms", "p99 ms", "memory MB")


@dataclass(slots=True)
class Figures:
    """What one server did with one set of questions: its loads, its CPU in each round, its answers at half load."""

    loads: list[Result] = field(default_factory=list)
    rounds: list[tuple[Result, float]] = field(default_factory=list)
    probes: list[Answers] = field(default_factory=list)
    hub_s: float = 0.0
    memory: int = 0

    @property
    def per_second(self) -> float:
        """Answers a second, of the middle round."""
        return median(result.completed / result.seconds for result, _ in self.rounds)

    @property
    def wrong(self) -> int:
        """Answers that were not what they had to be."""
        return sum(answers.wrong.total() for answers in self.probes)

    def latency(self, share: float) -> float:
        """The quantile of the middle probe."""
        return median(answers.quantile(share) for answers in self.probes)

    @property
    def per_cpu_s(self) -> float:
        """Answers for each second of CPU, of the middle round."""
        return median(result.completed / max(cpu_s, 0.01) for result, cpu_s in self.rounds)


def main() -> None:
    """Measure, and print a table for each set of questions."""
    rules = questions.banned()
    print(
        f"{len(rules)} rules, every block logged, the middle one of {ROUNDS} rounds of {ROUND_S:g} s; servers on "
        f"core {MEASURED}, dnsperf, the upstream and Enforcer's hub on core {OTHER}; latency at half of the rate"
    )
    with TemporaryDirectory(prefix="enforcer-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        running = list(start(folder, rules, stack))
        for key, title in SETS.items():
            before = {peer.name: peers.recorded(peer) for peer in running}
            found = measure(key, running, rules, folder)
            print_set(title, found)
            for peer in running:
                if peer.hub is not None:
                    print_records(peers.recorded(peer) - before[peer.name], found[peer.name])


def start(folder: Path, rules: Sequence[str], stack: ExitStack) -> Iterator[Peer]:
    """Start the upstream and every server that is installed, and see that all answer alike."""
    upstream = stack.enter_context(peers.forwarded_to(folder))

    def place(program: str) -> Place:
        own = folder / program
        own.mkdir()
        return Place(own, rules, free_port(), upstream)

    for program, make in peers.PEERS.items():
        path = find(program)
        if path is None:
            print(f"{program}: not installed, left out")
            continue
        try:
            yield agreeing(stack.enter_context(make(place(program), path)), rules)
        except (TimeoutError, ValueError) as error:
            print(f"{error}\n{program}: left out")
    yield agreeing(stack.enter_context(peers.one_worker(place("enforcer"))), rules)


def agreeing(peer: Peer, rules: Sequence[str]) -> Peer:
    """A server that has started and refuses what the rules ban, and nothing else. Raises ValueError otherwise."""
    peers.wait_until_ready(peer)
    expected = [(line.split()[0], "NXDOMAIN") for line in islice(questions.blocked(rules), 50)]
    expected += [(line.split()[0], "NOERROR") for line in islice(questions.allowed(), 50)]
    for name, rcode in expected:
        found = peers.rcode(peer.port, name)
        if found != rcode:
            raise ValueError(f"{peer.name}: {name} has {found}, and should have {rcode}")
    return peer


def measure(key: str, running: Sequence[Peer], rules: Sequence[str], folder: Path) -> dict[str, Figures]:
    """Rounds of all servers in turn, then every answer of each at half of its rate."""
    found = {peer.name: Figures() for peer in running}
    right = questions.judge(rules)
    for peer in running:
        found[peer.name].loads += warm_up(key, peer, rules, folder)
    for number, peer in product(range(ROUNDS), running):
        path = write(key, rules, folder, f"{peer.name}{number}", ROUND_S)
        one_round(peer, path, found[peer.name])
    for number, peer in product(range(PROBES), running):
        figures = found[peer.name]
        path = write(key, rules, folder, f"{peer.name}-probe{number}", PROBE_S)
        result, answers = probe(peer.port, path, PROBE_S, OTHER, rate=figures.per_second / 2, right=right)
        figures.loads.append(result)
        figures.probes.append(answers)
        figures.memory = peer.process.memory()
    return found


def warm_up(key: str, peer: Peer, rules: Sequence[str], folder: Path) -> Iterator[Result]:
    """Let caches fill with what will be asked again, and code get warm."""
    if key == "mixed":
        hosts = questions.every_host()
        yield load(peer.port, questions.write(folder / "hosts", iter(hosts), len(hosts)), 5, OTHER, "-n", "1")
    yield load(peer.port, write(key, rules, folder, f"{peer.name}-warm", 0.5), 0.5, OTHER)


def write(key: str, rules: Sequence[str], folder: Path, run: str, seconds: float) -> Path:
    """The questions of a set, as a file. run: what makes the names of one run new."""
    match key:
        case "mixed":
            return questions.write(folder / key, questions.mixed(rules), questions.QUERIES)
        case "blocked":
            return questions.write(folder / key, questions.blocked(rules), questions.QUERIES)
        case _:
            return questions.write(folder / key, questions.new(run.lower()), round(NEW_A_SECOND * seconds))


def one_round(peer: Peer, path: Path, figures: Figures) -> None:
    """As much load as a server takes, and the CPU that it took."""
    cpu_s, hub_s = peer.process.cpu_s(), peer.hub.cpu_s() if peer.hub else 0.0
    result = load(peer.port, path, ROUND_S, OTHER)
    figures.rounds.append((result, peer.process.cpu_s() - cpu_s))
    figures.hub_s += (peer.hub.cpu_s() if peer.hub else 0.0) - hub_s
    figures.loads.append(result)
    if peer.log is not None:
        with peer.log.open("r+") as log:
            log.truncate()  # it grows by megabytes a second


def print_set(title: str, found: dict[str, Figures]) -> None:
    """A table of one set of questions."""
    reference = found[REFERENCE].per_cpu_s if REFERENCE in found else None
    rows = [
        (
            name,
            f"{figures.per_second:,.0f}",
            f"{figures.per_cpu_s:,.0f}",
            f"{figures.per_cpu_s / reference:.2f}" if reference else "-",
            f"{sum(result.lost for result in figures.loads)}",
            f"{figures.wrong}",
            ms(figures.latency(0.5)),
            ms(figures.latency(0.99)),
            mb(figures.memory),
        )
        for name, figures in found.items()
    ]
    print()
    print_table((title, *COLUMNS), rows)
    print_histogram(found)


def print_histogram(found: dict[str, Figures]) -> None:
    """How many of a hundred answers came within each time, at half load: all probes together."""
    rows = []
    for name, figures in found.items():
        seconds = [each for answers in figures.probes for each in answers.seconds]
        shares = [sum(each <= bound for each in seconds) / max(len(seconds), 1) for bound in HISTOGRAM]
        rows.append((name, *(f"{share:.1%}" for share in shares)))
    print_table(("within, at half load", *(f"{ms(bound)} ms" for bound in HISTOGRAM)), rows)


def print_records(recorded: int, figures: Figures) -> None:
    """Whether Enforcer's records agree with what clients got, and what they cost the hub."""
    refused = sum(result.refused for result in figures.loads)
    share = figures.hub_s / sum(result.seconds for result, _ in figures.rounds)
    print(f"Enforcer: {refused:,} refused, {recorded:,} recorded; the hub took {share:.1%} of a core")
