"""A compiled policy as the hub knows it: by its file, which stays as the proof of what was in force."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from enforcer.errors import Mistake

SHRUNK = "shrunk: "
"""What the text of a mistake begins with when a service would lose most of its rules."""

_FEW = 20
"""Rules; below, a list that loses half is somebody's wish rather than a file that was cut off."""

SELF_TEST = "self-test: "
"""What the text of a mistake begins with that the lists' own examples and protections have found."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled policy on the disk. sha256: its file's name, in hexadecimal; rules: by service and kind."""

    sha256: str
    services: tuple[str, ...]
    rules: Mapping[tuple[str, str], int]

    @property
    def ruleset(self) -> str:
        """Its short name in records."""
        return self.sha256[:12]


def shrunk(before: Compiled, after: Compiled, most: float) -> Iterator[Mistake]:
    """The services that would lose a larger share of their rules than `most`, from 0 to 1.

    One that would be gone is none of them: its lists were taken out of the configuration, which nobody does by chance.
    """
    had, have = _by_service(before), _by_service(after)
    for service, rules in had.items():
        if rules >= _FEW and 0 < have[service] < rules * (1 - most):
            what = (
                f'{SHRUNK}"{service}" would have {have[service]} rules instead of {rules}, as when a list was cut off; '
                "if it is meant, write policy.max_shrink: 1 for this reload"
            )
            yield Mistake("policy", None, what)


def _by_service(compiled: Compiled) -> Counter[str]:
    found: Counter[str] = Counter()
    for (service, _), rules in compiled.rules.items():
        found[service] += rules
    return found
