"""A compiled policy as the hub knows it: by its file, which stays as the proof of what was in force."""

from collections.abc import Mapping
from dataclasses import dataclass

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
