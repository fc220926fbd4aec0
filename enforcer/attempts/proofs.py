"""Lines of a day's file, each with the proof that it was in it: one device's records without anybody else's.

A proof leads from the line to the root that a checkpoint of the day signs (RFC 9162 §2.1.3).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcer.attempts.attempt import Checkpoint, milliseconds, parse_line
from enforcer.attempts.log import CHECKPOINT
from enforcer.attempts.merkle import Prover, included, leaf_hash
from enforcer.errors import Corrupt

_ATTEMPT = b'{"v":1,"type":"attempt",'

type Wanted = Callable[[bytes], bool]
"""Whether a line, without its newline, is wanted."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Attempts of a device in a time: those that began before `until_ms` and ended at or after `since_ms`."""

    device: str
    since_ms: int | None
    until_ms: int | None

    def __call__(self, line: bytes) -> bool:
        """Whether a line is one of them."""
        if not line.startswith(_ATTEMPT) or line.find(json.dumps(self.device).encode("ascii")) < 0:
            return False
        raw = json.loads(line)
        return (
            raw["device"] == self.device
            and (self.since_ms is None or milliseconds(raw["last"]) >= self.since_ms)
            and (self.until_ms is None or milliseconds(raw["time"]) < self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """A line of a day's file. index: its place among the file's lines, from 0; proof: siblings up to the root.

    proof is None for a line behind the file's last checkpoint, which nothing signs yet.
    """

    day: str
    index: int
    line: bytes
    proof: tuple[bytes, ...] | None

    def text(self) -> bytes:
        """As one line of JSON."""
        proof = None if self.proof is None else [node.hex() for node in self.proof]
        values = {"day": self.day, "index": self.index, "proof": proof, "line": self.line.decode("ascii")}
        return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"

    def is_in(self, checkpoint: Checkpoint) -> bool:
        """Whether the proof leads to what the checkpoint signs."""
        if self.proof is None or checkpoint.day != self.day:
            return False
        root = bytes.fromhex(checkpoint.root)
        return included(leaf_hash(self.line), self.index, checkpoint.count, self.proof, root)


@dataclass(frozen=True, slots=True)
class Extract:
    """What was wanted of one day. checkpoint: the last one of the file, as the line stands there, or None."""

    day: str
    checkpoint: bytes | None
    lines: tuple[Proven, ...]

    def text(self) -> Iterator[bytes]:
        """As lines of JSON: the checkpoint, then the lines."""
        if self.checkpoint is not None:
            yield json.dumps({"checkpoint": self.checkpoint.decode("ascii")}).encode("ascii") + b"\n"
        for line in self.lines:
            yield line.text()


def extract(path: Path, wanted: Wanted) -> Extract:
    """The wanted lines of a day's file with their proofs. The file is read twice; only what is wanted is kept."""
    found: list[tuple[int, bytes]] = []
    signed, checkpoint = 0, None
    for index, line in enumerate(_lines(path)):
        if line.startswith(CHECKPOINT):
            signed, checkpoint = index, line
        elif wanted(line):
            found.append((index, line))
    prover = Prover((index for index, _ in found if index < signed), signed)
    if found:
        for _, line in zip(range(signed), _lines(path), strict=False):
            prover.add(leaf_hash(line))
    lines = (Proven(path.stem, i, line, prover.proof(i) if i < signed else None) for i, line in found)
    return Extract(path.stem, checkpoint, tuple(lines))


def read_extract(path: Path) -> Extract:
    """What `Extract.text` wrote. Raises Corrupt."""
    checkpoint: bytes | None = None
    lines = []
    try:
        for line in _lines(path):
            raw = json.loads(line)
            if "checkpoint" in raw:
                checkpoint = raw["checkpoint"].encode("ascii")
                continue
            proof = raw["proof"]
            nodes = None if proof is None else tuple(bytes.fromhex(node) for node in proof)
            lines.append(Proven(raw["day"], raw["index"], raw["line"].encode("ascii"), nodes))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path}: this is no extract of the log: {error}") from error
    return Extract(path.stem, checkpoint, tuple(lines))


def checkpoint_of(line: bytes) -> Checkpoint:
    """A checkpoint's line. Raises Corrupt when it is none."""
    entry = parse_line(line).entry
    if not isinstance(entry, Checkpoint):
        raise Corrupt("the line is no checkpoint")
    return entry


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line[-1:] == b"\n":
                yield line[:-1]
