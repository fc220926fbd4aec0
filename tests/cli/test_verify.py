"""`enforcer attempts verify` and `key`, on the log of a hub that signs."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.attempt import Event
from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.keys import publish
from enforcer.attempts.log import DayLog
from enforcer.folders import Folders
from tests.cli.site import ENTRIES, Run
from tests.records import NOON_MS, moment

DAY_MS = 86_400_000
NOTARY = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest.fixture
def folder(site: Path) -> Path:
    """Five lines and a checkpoint on one day; a line, a checkpoint and a line on the next."""
    folder = Folders(site / "data").log
    log = DayLog(folder, NOTARY)
    log.append(ENTRIES, moment(NOON_MS))
    log.append([Event("reload", NOON_MS, "gw-1", {})], moment(NOON_MS + DAY_MS))
    log.checkpoint(moment(NOON_MS + DAY_MS))
    log.append([Event("loss", NOON_MS, "gw-1", {"count": 7})], moment(NOON_MS + DAY_MS))
    log.close()
    publish(NOTARY, folder)
    return folder


def test_a_whole_log(run: Run, folder: Path) -> None:
    result = run("attempts", "verify")
    assert result.exit_code == 0
    assert "The log is whole: 2 files, numbers 1 to 9, hash " in result.stdout
    assert f"Signed up to number 8 by key {NOTARY.name}, 2 times; not signed yet: 1 line behind it" in result.stdout
    assert "name the one that you keep with --key" in result.stdout
    assert "7 attempts blocked and not kept (1 loss)" in result.stdout
    assert result.stderr == ""


def test_a_copied_folder_needs_no_configuration(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = folder.rename(tmp_path / "copy")
    (tmp_path / "key.pem").write_text(NOTARY.public_pem)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = run("attempts", "verify", "--key", str(tmp_path / "key.pem"), str(copy))
    assert result.exit_code == 0
    assert "--key" not in result.stdout


def test_damage_is_named_and_is_the_exit_status(run: Run, folder: Path) -> None:
    path = folder / "2026-11-23.ndjson"
    path.write_bytes(path.read_bytes().replace(b'"count":41', b'"count":40'))
    result = run("attempts", "verify")
    assert result.exit_code == 1
    assert "The log is damaged. 2026-11-23.ndjson: number 3: flipped: it is not the line that number 4" in result.stderr
    assert "Up to number 2 it is as it was written" in result.stderr
    found = json.loads(run("attempts", "verify", "--json").stdout)
    assert (found["whole"], found["damage"]["kind"], found["damage"]["seq"]) == (False, "flipped", 3)


def test_another_key_than_the_one_that_is_kept(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(OTHER.public_pem)
    result = run("attempts", "verify", "--key", str(tmp_path / "key.pem"))
    assert result.exit_code == 1
    assert "number 6: bad signature" in result.stderr


def test_checkpoints_that_were_kept_elsewhere(run: Run, folder: Path, tmp_path: Path) -> None:
    lines = [line for path in sorted(folder.glob("*.ndjson")) for line in path.read_bytes().splitlines(keepends=True)]
    (tmp_path / "kept").write_bytes(b"".join(line for line in lines if b'"type":"checkpoint"' in line))
    told = run("attempts", "verify", "--checkpoints", str(tmp_path / "kept"))
    assert (told.exit_code, "It contains the 2 checkpoints kept elsewhere" in told.stdout) == (0, True)
    (folder / "2026-11-24.ndjson").write_bytes(lines[6])
    assert run("attempts", "verify").exit_code == 0
    result = run("attempts", "verify", "--checkpoints", str(tmp_path / "kept"))
    assert result.exit_code == 1
    assert "number 8: truncated" in result.stderr


def test_part_of_a_log(run: Run, folder: Path) -> None:
    (folder / "2026-11-23.ndjson").unlink()
    assert "number 1: missing file" in run("attempts", "verify").stderr
    found = json.loads(run("attempts", "verify", "--since", "2026-11-24", "--json").stdout)
    assert (found["whole"], found["first"], found["seq"], found["signed"], found["unsigned"]) == (True, 7, 9, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--key", "missing.pem"), "missing.pem: cannot be read"),
        (("--checkpoints", "missing"), "missing"),
        (("--checkpoints", "chat.yaml"), "chat.yaml: there is no checkpoint in it; sinks of format json"),
        (("empty",), "empty: there is no log; name the folder"),
    ],
)
def test_what_cannot_be_checked_is_told_apart(
    run: Run, folder: Path, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = run("attempts", "verify", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_an_unsigned_log_is_said_to_be_one(run: Run, recorded: Folders) -> None:
    result = run("attempts", "verify")
    assert result.exit_code == 0
    assert "None of it is signed" in result.stdout


def test_the_public_key_is_printed(run: Run, folder: Path) -> None:
    result = run("attempts", "key")
    assert result.stdout == NOTARY.public_pem
    assert result.stderr == f"key {NOTARY.name}\n"
    publish(OTHER, folder)
    assert run("attempts", "key").stdout == OTHER.public_pem
    assert set(run("attempts", "key", "--all").stderr.split()) == {"key", NOTARY.name, OTHER.name}


def test_without_a_key_it_is_told(run: Run, site: Path) -> None:
    result = run("attempts", "key")
    assert (result.exit_code, "there is no public key yet; start the hub" in result.stderr) == (1, True)
