"""What a check of the log comes to: how far it went, and the first thing that is wrong."""

from dataclasses import dataclass, field
from enum import StrEnum

from enforcer.attempts.chain import GENESIS


class Kind(StrEnum):
    """What was done to a log."""

    FLIPPED = "flipped"
    DROPPED = "dropped"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    APPENDED = "appended"
    MISSING_FILE = "missing file"
    BAD_SIGNATURE = "bad signature"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Damage:
    """The first thing that is wrong. seq: the number of the first line that is not as it was written, or not there."""

    kind: Kind
    file: str
    seq: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}: number {self.seq}: {self.kind}: {self.what}"


@dataclass(slots=True)
class Report:
    """What was checked, up to the first damage.

    first, seq: the numbers of the first and the last line that were checked; hash: the chain's after the last.
    purged: days of which only the signed proof is left. signed: the number of the last line that a good signature
    covers; 0 without any. declared: the log's own events that say what it lacks, by name; lost: attempts that these
    count. keys: the names of the keys that signed. witnessed: checkpoints that were kept elsewhere. damage: None when
    all is whole.
    """

    files: int = 0
    lines: int = 0
    first: int = 0
    seq: int = 0
    hash: str = GENESIS.hex()
    purged: tuple[str, ...] = ()
    checkpoints: int = 0
    signed: int = 0
    keys: tuple[str, ...] = ()
    declared: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    witnessed: int = 0
    damage: Damage | None = None

    @property
    def unsigned(self) -> int:
        """Lines behind the last good signature: whoever holds the disk could have written these anew."""
        return self.seq - self.signed if self.signed else self.lines
