"""Load from dnsperf, and what became of it."""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.process import pinned

type Right = Callable[[str, str], bool]
"""Whether a name may have this RCODE."""

TIMEOUT_S = 2  # after which a query counts as lost
SOCKETS = 8
ON_THEIR_WAY = 150  # queries; more would overrun the receive buffer of a server that leaves it as it is
AT_MOST = 1000  # queries on their way when a rate is asked for; dnsperf makes up for a delay with a burst

_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_SECONDS = re.compile(r"Run time \(s\):\s+([\d.]+)")
_REFUSED = re.compile(r"NXDOMAIN (\d+)")


@dataclass(frozen=True, slots=True)
class Result:
    """What one load got. refused: answers that are NXDOMAIN."""

    completed: int
    lost: int
    refused: int
    seconds: float


@dataclass(slots=True)
class Answers:
    """Every answer to one load. seconds: how long each took; wrong: those that were not what they had to be."""

    seconds: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        """The latency that `share` of the answers do not exceed; infinite without answers."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else math.inf


def load(port: int, questions: Path, seconds: float, core: int, *options: str) -> Result:
    """Ask as fast as answers come; options: dnsperf's own."""
    return _result(_dnsperf(port, questions, seconds, core, "-q", str(ON_THEIR_WAY), *options))


def probe(
    port: int, questions: Path, seconds: float, core: int | None, *, rate: float, right: Right
) -> tuple[Result, Answers]:
    """Ask at a rate, in queries a second, and look at every answer."""
    text = _dnsperf(port, questions, seconds, core, "-v", "-q", str(AT_MOST), "-Q", str(max(round(rate), 1)))
    answers = Answers()
    for line in text.splitlines():
        match line.split():
            case [">", rcode, name, _, latency]:
                answers.seconds.append(float(latency))
                if not right(name, rcode):
                    answers.wrong[rcode] += 1
    return _result(text), answers


def _dnsperf(port: int, questions: Path, seconds: float, core: int | None, *options: str) -> str:
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions), "-l", str(seconds)]
    command += ["-t", str(TIMEOUT_S), "-c", str(SOCKETS), *options]
    said = questions.with_suffix(".said")  # a pipe would need a reader, and that one a core
    with said.open("w") as file:
        subprocess.run(pinned(command, core), stdout=file, stderr=subprocess.STDOUT, check=True)
    return said.read_text()


def _result(text: str) -> Result:
    completed, lost, refused, seconds = (
        found[1] if (found := pattern.search(text)) else "0" for pattern in (_COMPLETED, _LOST, _REFUSED, _SECONDS)
    )
    return Result(int(completed), int(lost), int(refused), float(seconds))
