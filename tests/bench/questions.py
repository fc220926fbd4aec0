"""What is banned and what is asked: the same for every server."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from enforcer.blocklists import shipped_folder
from tests.bench.load import Right

RULES = 1000
QUERIES = 20_000  # after which a load begins anew
BLOCKED_SHARE = 0.2
HOSTS = 2000
_SITES = 50
_BELOW = ("www", "long", "short", "dl", "a.b")


def banned() -> list[str]:
    """The suffixes of the shipped lists, without those below another, and invented ones up to RULES."""
    documents = (yaml.safe_load((shipped_folder() / name).read_text()) for name in ("wechat.yaml", "kaspersky.yaml"))
    suffixes = frozenset(rule["suffix"] for document in documents for rule in document["rules"] if "suffix" in rule)
    shipped = [suffix for suffix in suffixes if not is_banned(suffix.partition(".")[2], suffixes)]
    invented = (f"blocked{number}.banned-{number % 97}.example" for number in range(RULES))
    return [*sorted(shipped), *invented][:RULES]


def blocked(rules: Sequence[str]) -> Iterator[str]:
    """Questions below what is banned and not invented, without end, as dnsperf reads them."""
    shipped = [rule for rule in rules if not rule.endswith(".example")]
    chance = random.Random(7)
    while True:
        yield f"{chance.choice(_BELOW)}.{chance.choice(shipped)} {chance.choice(('A', 'A', 'AAAA'))}"


def allowed() -> Iterator[str]:
    """Questions for HOSTS names again and again, without end."""
    chance = random.Random(11)
    while True:
        yield f"{_host(chance.randrange(HOSTS))} {chance.choice(('A', 'A', 'AAAA'))}"


def mixed(rules: Sequence[str]) -> Iterator[str]:
    """BLOCKED_SHARE of questions for what is banned, without end."""
    chance = random.Random(13)
    yes, no = blocked(rules), allowed()
    while True:
        yield next(yes if chance.random() < BLOCKED_SHARE else no)


def new(run: str) -> Iterator[str]:
    """Questions for names that no other run asks for, each once, without end."""
    number = 0
    while True:
        number += 1
        yield f"{run}-{_host(number)} A"


def every_host() -> list[str]:
    """Each question of `allowed` once, so that caches know the answers."""
    return [f"{_host(number)} {qtype}" for number in range(HOSTS) for qtype in ("A", "AAAA")]


def write(path: Path, questions: Iterator[str], count: int) -> Path:
    """Write the first `count` questions, one a line."""
    with path.open("w") as file:
        file.writelines(f"{question}\n" for question, _ in zip(questions, range(count), strict=False))
    return path


def judge(rules: Sequence[str]) -> Right:
    """Tells right answers from wrong ones."""
    suffixes = frozenset(rules)
    return lambda name, rcode: rcode == ("NXDOMAIN" if is_banned(name, suffixes) else "NOERROR")


def is_banned(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a name or one above it is among the suffixes."""
    labels = name.split(".")
    return any(".".join(labels[first:]) in suffixes for first in range(len(labels)))


def _host(number: int) -> str:
    return f"host{number}.site{number % _SITES}-allowed.net"
