"""The family of errors that Enforcer raises.

EnforcerError
├── Malformed       a peer's bytes are not what they claim to be
├── Mistakes        what a person wrote cannot be used: every mistake at once
├── Unavailable     something that is needed now is not there: a folder, a lock, the hub, a policy
└── Corrupt         stored data does not say what was written
"""

from collections.abc import Iterable
from dataclasses import dataclass


class EnforcerError(Exception):
    """The root: whoever catches this catches everything that Enforcer raises on purpose."""


class Malformed(EnforcerError):
    """No further bytes could make the input valid. The peer's fault, never ours."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing to mend in a file that a person wrote.

    line counts from 1; None means the mistake is in no particular line.
    what says what is wrong and, after a semicolon, what to write instead.
    """

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.what}"


class Mistakes(EnforcerError):
    """Everything that is wrong with a configuration or with lists, in the order of the files."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class Unavailable(EnforcerError):
    """Something outside is missing; the text says what, and what to do."""


class Corrupt(EnforcerError):
    """Stored data was damaged; the text says which file and where."""
