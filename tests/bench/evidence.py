"""What the evidence costs: signing while the log is written, verifying it, proving one device's lines."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.checkpoint import Notary, read_public_keys
from enforcer.attempts.log import DayLog, days
from enforcer.attempts.proofs import Whose, extract
from enforcer.attempts.verify import verify_log
from tests.cli.site import attempt
from tests.records import NOON_MS, moment

LINES, BATCH = 200_000, 1000
CHECKPOINTS = 100
NOTARY = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def main() -> Sequence[Sequence[str]]:
    """Rows of a table; processor time of one core."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        return list(_rows(Path(folder)))


def _rows(folder: Path) -> Sequence[Sequence[str]]:
    plain, signed = _written(folder / "plain", None), _written(folder / "signed", NOTARY)
    rows = [("lines/s to the log without a key", f"{LINES / plain:,.0f}")]
    rows += [("lines/s to the log with one", f"{LINES / signed:,.0f}")]
    log = DayLog(folder / "signed", NOTARY)
    begin = time.process_time()
    for _ in range(CHECKPOINTS):
        log.checkpoint(moment(NOON_MS))
    rows += [("µs a checkpoint", f"{(time.process_time() - begin) * 1e6 / CHECKPOINTS:,.0f}")]
    log.close()
    begin = time.process_time()
    DayLog(folder / "signed", NOTARY).close()
    rows += [("lines/s read again at a start", f"{LINES / (time.process_time() - begin):,.0f}")]
    [path] = days(folder / "signed")
    begin = time.process_time()
    report = verify_log(folder / "signed", read_public_keys(NOTARY.public_pem.encode()))
    spent = time.process_time() - begin
    assert report.damage is None
    rows += [("lines/s verified", f"{report.lines / spent:,.0f}")]
    rows += [("MB/s verified", f"{path.stat().st_size / spent / 1e6:,.0f}")]
    begin = time.process_time()
    found = extract(path, Whose("dev-1", None, None))
    spent = time.process_time() - begin
    rows += [(f"lines/s looked through for {len(found.lines):,} of a device", f"{report.lines / spent:,.0f}")]
    return rows


def _written(folder: Path, notary: Notary | None) -> float:
    """Seconds to write all lines, those of one device in fifty among them."""
    entries = [attempt(number, "10.20.0.5" if not number % 50 else "10.20.0.6") for number in range(BATCH)]
    log = DayLog(folder, notary)
    begin = time.process_time()
    for number in range(LINES // BATCH):
        log.append(entries, moment(NOON_MS))
        if not number % 20:
            log.sync()
    log.checkpoint(moment(NOON_MS))
    spent = time.process_time() - begin
    log.close()
    return spent
