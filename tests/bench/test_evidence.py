"""What the evidence costs: signing while the log is written, verifying it, proving one device's lines."""

import resource
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.checkpoint import Notary, read_public_keys
from enforcer.attempts.log import DayLog, days
from enforcer.attempts.proofs import Whose, extract
from enforcer.attempts.verify import verify_log
from tests.cli.site import attempt
from tests.records import NOON_MS, moment

LINES, BATCH = 200_000, 1000
NOTARY = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def cpu_s() -> float:
    return time.process_time()


def written(folder: Path, notary: Notary | None) -> float:
    """Seconds of processor time to write all lines, those of one device in fifty among them."""
    entries = [attempt(number, "10.20.0.5" if not number % 50 else "10.20.0.6") for number in range(BATCH)]
    log = DayLog(folder, notary)
    begin = cpu_s()
    for number in range(LINES // BATCH):
        log.append(entries, moment(NOON_MS))
        if not number % 20:
            log.checkpoint(moment(NOON_MS))
    log.checkpoint(moment(NOON_MS))
    spent = cpu_s() - begin
    log.close()
    return spent


@pytest.mark.timeout(300)
def test_signing_verifying_and_proving(tmp_path: Path) -> None:
    plain, signed = written(tmp_path / "plain", None), written(tmp_path / "signed", NOTARY)
    print(f"\n{LINES / plain:,.0f} lines/s to the log without a key, {LINES / signed:,.0f} with one")
    log = DayLog(tmp_path / "signed", NOTARY)
    begin = cpu_s()
    for _ in range(100):
        log.checkpoint(moment(NOON_MS))
    print(f"{(cpu_s() - begin) * 10_000:,.0f} microseconds a checkpoint, whatever the size of the day")
    log.close()
    begin = cpu_s()
    DayLog(tmp_path / "signed", NOTARY).close()
    print(f"{LINES / (cpu_s() - begin):,.0f} lines/s to grow the day's tree again at a start")
    [path] = days(tmp_path / "signed")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = cpu_s()
    report = verify_log(tmp_path / "signed", read_public_keys(NOTARY.public_pem.encode()))
    spent = cpu_s() - begin
    assert report.damage is None
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    size = path.stat().st_size
    print(f"{report.lines / spent:,.0f} lines/s ({size / spent / 1e6:,.0f} MB/s) verified, in {more:,} kB more memory")
    begin = cpu_s()
    found = extract(path, Whose("dev-1", None, None))
    spent = cpu_s() - begin
    print(f"{report.lines / spent:,.0f} lines/s looked through for {len(found.lines):,} lines of a device with proofs")
