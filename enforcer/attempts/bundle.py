"""An evidence bundle: a ZIP archive that proves by itself what it says, to somebody who has nothing of ours.

Of one device it has that device's records, each with the proof that it was in the log, and nobody else's lines. Of
everybody it has whole days. Either way: what the hub signed, the policies that were in force with their lists, the
public keys, checksums, how to check all that, and a small program that does.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from enforcer.attempts import standalone
from enforcer.attempts.attempt import moment
from enforcer.attempts.holds import load_holds
from enforcer.attempts.log import CHECKPOINT, days
from enforcer.attempts.proofs import Extract, Proven, Whose, extract, read_extract
from enforcer.attempts.purged import purged_days, read_purged
from enforcer.errors import Corrupt
from enforcer.policy.compiled import read_compiled
from enforcer.policy.rules import Rule

LATE_MS = 7 * 86_400_000
"""An attempt can be logged so long after it was made and is still found: a hub was down, a clock was wrong."""

_RULESET = re.compile(rb'"ruleset":"([0-9a-f]{12})"')
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sources:
    """Folders of a `data_dir`."""

    log: Path
    holds: Path
    policy: Path


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted, by whom, why. device: None for everybody's. Times in ms since 1970, None without a limit."""

    device: str | None
    since_ms: int | None
    until_ms: int | None
    who: str
    reason: str
    made_ms: int
    product: str

    def days(self) -> tuple[str, str]:
        """The first and the last day whose file may have something of it."""
        since = "" if self.since_ms is None else moment(self.since_ms)[:10]
        return since, "9999" if self.until_ms is None else moment(self.until_ms + LATE_MS)[:10]


@dataclass(slots=True)
class Contents:
    """What a bundle has: records of so many attempts; unproven: those that nothing signs yet.

    purged: days of that time of which only the proof is left, and what a hold has kept. missing: policies that the
    records name and that are not there any more.
    """

    records: int = 0
    attempts: int = 0
    unproven: int = 0
    days: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def write_bundle(path: Path, sources: Sources, order: Order) -> Contents:
    """Write a bundle. Raises OSError, and Corrupt when something that it needs cannot be read."""
    contents = Contents()
    with path.open("xb") as file, ZipFile(file, "w", ZIP_DEFLATED) as archive:
        path.chmod(0o600)
        bundle = _Archive(archive, order.made_ms)
        bundle.add("README.txt", [Path(__file__).with_name("bundle.txt").read_bytes()])
        bundle.add("verify.py", [Path(standalone.__file__).read_bytes()])
        collect = _whole_days if order.device is None else _records
        rulesets = collect(bundle, sources, order, contents)
        for key in sorted(sources.log.glob("key-*.pem")):
            bundle.add(f"keys/{key.name}", [key.read_bytes()])
        _policies(bundle, sources.policy, rulesets, contents)
        bundle.add("manifest.json", [json.dumps(_manifest(order, contents), indent=1).encode("ascii")])
        bundle.finish()
    return contents


class _Archive:
    """Files of one bundle, with their checksums."""

    def __init__(self, archive: ZipFile, made_ms: int) -> None:
        self._archive = archive
        year, month, day, hour, minute, second = (int(part) for part in re.split(r"\D", moment(made_ms))[:6])
        self._date = (max(year, 1980), month, day, hour, minute, second)
        self._sums: list[str] = []

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        digest = sha256()
        info = ZipInfo(name, self._date)
        info.compress_type, info.external_attr = ZIP_DEFLATED, 0o600 << 16
        with self._archive.open(info, "w", force_zip64=True) as file:
            for each in chunks:
                digest.update(each)
                file.write(each)
        self._sums.append(f"{digest.hexdigest()}  {name}\n")

    def finish(self) -> None:
        self.add("SHA256SUMS", ["".join(self._sums).encode("ascii")])


def _records(bundle: _Archive, sources: Sources, order: Order, contents: Contents) -> set[str]:
    """One device's lines; returns the short names of their policies."""
    whose = Whose(str(order.device), order.since_ms, order.until_ms)
    rulesets: set[str] = set()
    checkpoints: list[bytes] = []

    def lines() -> Iterator[bytes]:
        for each in _extracts(sources, order, whose, contents):
            if each.checkpoint is not None:
                checkpoints.append(each.checkpoint + b"\n")
            if each.lines:
                contents.days.append(each.day)
            for line in each.lines:
                contents.records += 1
                contents.attempts += int(json.loads(line.line)["count"])
                contents.unproven += line.proof is None
                rulesets.update(found.decode() for found in _RULESET.findall(line.line))
                yield line.text()

    bundle.add("records.ndjson", lines())
    bundle.add("checkpoints.ndjson", checkpoints)
    _add_purged(bundle, sources, order, contents)
    return rulesets


def _extracts(sources: Sources, order: Order, whose: Whose, contents: Contents) -> Iterator[Extract]:
    """Of each day: from its file, or from what holds have kept of it."""
    files = {path.stem: path for path in _within(days(sources.log), order)}
    contents.purged = [path.stem for path in _within(purged_days(sources.log), order) if path.stem not in files]
    holds = [hold for hold in load_holds(sources.holds) if hold.device == order.device]
    for day in sorted({*files, *contents.purged}):
        if day in files:
            yield extract(files[day], whose)
            continue
        held = [path for hold in holds if (path := sources.holds / hold.name / f"{day}.ndjson").exists()]
        if held:
            yield _joined(day, [read_extract(path) for path in held], whose)


def _joined(day: str, kept: Sequence[Extract], whose: Whose) -> Extract:
    """What several holds have kept of a day, each line once."""
    lines: dict[int, Proven] = {line.index: line for each in kept for line in each.lines if whose(line.line)}
    return Extract(day, kept[0].checkpoint, tuple(lines[index] for index in sorted(lines)))


def _whole_days(bundle: _Archive, sources: Sources, order: Order, contents: Contents) -> set[str]:
    """Everybody's: files of the log as they are; of one that is being written, what is signed."""
    rulesets: set[str] = set()

    def lines(path: Path, octets: int) -> Iterator[bytes]:
        with path.open("rb") as file:
            while octets > 0 and (line := file.readline()):
                octets -= len(line)
                if line.startswith(b'{"v":1,"type":"attempt",'):
                    contents.records += 1
                    contents.attempts += int(json.loads(line)["count"])
                    rulesets.update(found.decode() for found in _RULESET.findall(line))
                yield line

    found = _within(days(sources.log), order)
    for path in found:
        bundle.add(f"log/{path.name}", lines(path, _signed_octets(path)))
        contents.days.append(path.stem)
    contents.purged = sorted({path.stem for path in _within(purged_days(sources.log), order)} - set(contents.days))
    _add_purged(bundle, sources, order, contents)
    return rulesets


def _signed_octets(path: Path) -> int:
    """How much of a file its last checkpoint covers, and the checkpoint itself."""
    at = end = 0
    with path.open("rb") as file:
        for line in file:
            at += len(line)
            if line.startswith(CHECKPOINT) and line[-1:] == b"\n":
                end = at
    return end


def _add_purged(bundle: _Archive, sources: Sources, order: Order, contents: Contents) -> None:
    for path in _within(purged_days(sources.log), order):
        if path.stem in contents.purged:
            read_purged(path)  # raises for what is no proof
            bundle.add(f"purged/{path.name}", [path.read_bytes()])


def _policies(bundle: _Archive, folder: Path, rulesets: Iterable[str], contents: Contents) -> None:
    """The compiled policies, and each as a reader wants it."""
    for ruleset in sorted(rulesets):
        path = next(folder.glob(f"{ruleset}*"), None)
        if path is None:
            contents.missing.append(ruleset)
            continue
        data = path.read_bytes()
        if sha256(data).hexdigest() != path.name:
            raise Corrupt(f"{path}: its content is not what its name says")
        bundle.add(f"policy/{path.name}", [data])
        bundle.add(f"policy/{path.name}.json", _readable(data))
        contents.policies.append(path.name)


def _readable(data: bytes) -> Iterator[bytes]:
    """The lists of a compiled policy as JSON, a rule a line."""
    compiled = read_compiled(data)
    yield b"[\n"
    rules = (
        {"list": each.name, "version": each.version, "vendor": each.vendor, **_rule(rule, each.sources)}
        for each in compiled.lists
        for rule in each.rules
    )
    yield b",\n".join(json.dumps(rule).encode("ascii") for rule in rules)
    yield b"\n]\n"


def _rule(rule: Rule, sources: Mapping[str, str]) -> dict[str, object]:
    """source: what the list's own codes in it stand for, too."""
    codes = [code for code in re.split(r"[,;\s]+", rule.source) if code in sources]
    return {
        "rule": rule.id,
        "service": rule.service,
        "part": rule.part,
        "evidence": rule.evidence.value,
        "confidence": rule.confidence.value,
        "source": rule.source,
        "sources": {code: sources[code] for code in codes},
        "seen": rule.seen,
        "expires": None if rule.expires is None else rule.expires.isoformat(),
        "ports": [str(port) for port in rule.ports],
        "ban": rule.ban,
        "file": rule.file,
        "line": rule.line,
    }


def _within(paths: Iterable[Path], order: Order) -> list[Path]:
    since, until = order.days()
    return [path for path in paths if since <= path.stem <= until]


def _manifest(order: Order, contents: Contents) -> dict[str, object]:
    return {
        "v": 1,
        "product": order.product,
        "made": moment(order.made_ms),
        "who": order.who,
        "reason": order.reason,
        "device": order.device,
        "since": None if order.since_ms is None else moment(order.since_ms),
        "until": None if order.until_ms is None else moment(order.until_ms),
        "records": contents.records,
        "attempts": contents.attempts,
        "unproven": contents.unproven,
        "days": contents.days,
        "purged": contents.purged,
        "policies": contents.policies,
        "missing_policies": contents.missing,
    }
