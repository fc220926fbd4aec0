import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.attempt import Event
from enforcer.attempts.chain import link, unseal
from enforcer.attempts.checkpoint import Notary, read_public_keys
from enforcer.attempts.log import DayLog
from enforcer.attempts.purged import purge_statement, purged_days, purged_path, read_purged
from enforcer.errors import Corrupt
from tests.records import NOON_MS, moment

NOTARY = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEYS = read_public_keys(NOTARY.public_pem.encode())
DAY_MS = 86_400_000


@pytest.fixture
def last(tmp_path: Path) -> bytes:
    """The last line of a day that is over."""
    log = DayLog(tmp_path / "log", NOTARY)
    for at_ms in (NOON_MS, NOON_MS + DAY_MS):
        log.append([Event("start", at_ms, "gw", {})], moment(at_ms))
    log.close()
    return (tmp_path / "log" / "2026-11-23.ndjson").read_bytes().splitlines()[-1]


def proof_of(folder: Path, line: bytes, notary: Notary = NOTARY) -> Path:
    path = purged_path(folder, "2026-11-23")
    said = purge_statement(notary, line, who="alice", reason="retention", held=3, now=moment(NOON_MS))
    path.write_bytes(line + b"\n" + said + b"\n")
    return path


def test_a_proof_stands_for_its_day(tmp_path: Path, last: bytes) -> None:
    proof = read_purged(proof_of(tmp_path, last))
    assert (proof.checkpoint.day, proof.checkpoint.first, proof.checkpoint.count, proof.seq) == ("2026-11-23", 1, 1, 2)
    assert proof.head == link(*reversed(unseal(last)))
    assert proof.is_signed(KEYS)
    said = json.loads(proof.statement)
    assert (said["who"], said["reason"], said["held"], said["seq"]) == ("alice", "retention", 3, 2)
    assert purged_days(tmp_path) == [tmp_path / "2026-11-23.purged"]


def test_nobody_without_the_key_can_say_that_a_day_was_purged(tmp_path: Path, last: bytes) -> None:
    assert not read_purged(proof_of(tmp_path, last, OTHER)).is_signed(KEYS)


@pytest.mark.parametrize(
    "change",
    [
        lambda line, said: (line, said.replace(b"alice", b"mallo")),
        lambda line, said: (line, b"{}"),
        lambda line, said: (line, b"no JSON"),
        lambda line, said: (line.replace(b'"count":1', b'"count":2'), said),
    ],
    ids=["said", "empty", "no-json", "checkpoint"],
)
def test_a_changed_proof_proves_nothing(
    tmp_path: Path, last: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]]
) -> None:
    path = proof_of(tmp_path, last)
    line, said = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(change(line, said)) + b"\n")
    assert not read_purged(path).is_signed(KEYS)


def test_what_is_no_proof_is_corrupt(tmp_path: Path, last: bytes) -> None:
    path = proof_of(tmp_path, last)
    path.write_bytes(last + b"\n")
    with pytest.raises(Corrupt, match="a proof has two lines"):
        read_purged(path)
    first = (tmp_path / "log" / "2026-11-23.ndjson").read_bytes().splitlines()[0]
    path.write_bytes(first + b"\n{}\n")
    with pytest.raises(Corrupt, match="not the checkpoint that ends a day"):
        read_purged(path)
    with pytest.raises(Corrupt, match="no checkpoint"):
        purge_statement(NOTARY, first, who="", reason="", held=0, now=moment(NOON_MS))


def test_a_folder_without_purged_days(tmp_path: Path) -> None:
    assert purged_days(tmp_path) == purged_days(tmp_path / "missing") == []
