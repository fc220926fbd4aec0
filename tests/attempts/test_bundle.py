import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from enforcer.attempts.bundle import Contents, Order, Sources, write_bundle
from enforcer.attempts.holds import Hold, keep, place, prepare
from enforcer.attempts.log import days
from enforcer.attempts.proofs import extract
from enforcer.attempts.purged import purge_statement, purged_path
from enforcer.attempts.standalone import main
from enforcer.errors import Corrupt
from tests.attempts.bundled import compiled_policy
from tests.cli.site import attempt
from tests.hub.desk import DAY_MS, NOTARY, Desk
from tests.records import NOON_MS, moment

SHA256, POLICY = compiled_policy()


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Three days, on each an attempt of two devices; the last is signed but for its last lines."""
    desk = Desk(tmp_path)
    for number in range(3):
        desk.now_ms = NOON_MS + number * DAY_MS
        entries = [attempt(number * 1440, ip, count=7, ruleset=SHA256[:12]) for ip in ("10.20.0.5", "10.20.0.6")]
        desk.log.append(entries, desk.clock())
        if number == 2:
            desk.log.checkpoint(desk.clock())
            desk.log.append([attempt(number * 1440 + 5, count=3, ruleset="f" * 12)], desk.clock())
    desk.log.close()
    desk.folders.policy.mkdir(parents=True)
    (desk.folders.policy / SHA256).write_bytes(POLICY)
    return Sources(desk.folders.log, desk.folders.holds, desk.folders.policy)


def order(device: str | None = "dev-1", since_ms: int | None = None, until_ms: int | None = None) -> Order:
    return Order(device, since_ms, until_ms, "alice", "case 14", NOON_MS, "enforcer 1")


def unpacked(tmp_path: Path, sources: Sources, wanted: Order) -> tuple[Path, Contents]:
    contents = write_bundle(tmp_path / "bundle.zip", sources, wanted)
    with ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "bundle")
    return tmp_path / "bundle", contents


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_devices_records_with_all_that_proves_them(
    tmp_path: Path, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, contents = unpacked(tmp_path, sources, order())
    assert (contents.records, contents.attempts, contents.unproven, len(contents.days)) == (4, 24, 1, 3)
    assert contents.missing == ["f" * 12]
    assert names(folder) == [
        *("README.txt", "SHA256SUMS", "checkpoints.ndjson", f"keys/key-{NOTARY.name}.pem", "manifest.json"),
        *(f"policy/{SHA256}", f"policy/{SHA256}.json", "records.ndjson", "verify.py"),
    ]
    assert (tmp_path / "bundle.zip").stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line)["line"] for line in (folder / "records.ndjson").read_text().splitlines()]
    log = [line for path in days(sources.log) for line in path.read_text().splitlines()]
    assert lines == [line for line in log if '"device":"dev-1"' in line]
    assert all(b"dev-2" not in (folder / name).read_bytes() for name in names(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["who"], manifest["reason"], manifest["device"], manifest["since"]) == (
        *("alice", "case 14", "dev-1", None),
    )
    (tmp_path / "key.pem").write_text(NOTARY.public_pem)
    assert main(["--key", str(tmp_path / "key.pem"), str(folder)]) == 0
    assert "4 records of 24 attempts were in the log, 1 of them not signed yet" in capsys.readouterr().out


def test_rules_can_be_read_with_their_sources(tmp_path: Path, sources: Sources) -> None:
    folder, _ = unpacked(tmp_path, sources, order())
    rules = json.loads((folder / "policy" / f"{SHA256}.json").read_text())
    assert rules[0]["rule"] == "chat/suffix/chat.test"
    assert rules[0]["sources"] == {
        "DOC": "docs.chat.test/network: the vendor's page on firewalls",
        "CAP": "our own capture",
    }
    assert {"expires": "2026-12-24", "ports": ["udp/853"]}.items() <= next(r for r in rules if r["ports"]).items()


def test_both_languages_say_how_to_check_it(tmp_path: Path, sources: Sources) -> None:
    folder, _ = unpacked(tmp_path, sources, order())
    text = (folder / "README.txt").read_text()
    assert "How to check it" in text
    assert "Comment le vérifier" in text
    assert text.count("python3 verify.py --key hub.pem") == 2


def test_a_time_narrows_it(tmp_path: Path, sources: Sources) -> None:
    begin = NOON_MS + DAY_MS - 3600_000
    _, contents = unpacked(tmp_path, sources, order(since_ms=begin, until_ms=begin + DAY_MS))
    assert (contents.records, contents.days) == (1, ["2026-11-24"])


def test_of_a_purged_day_it_has_what_holds_have_kept(
    tmp_path: Path, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    path = days(sources.log)[0]
    for name in ("case-1", "case-2"):
        hold = Hold(name, "dev-1", None, None, "x", "bob", NOON_MS)
        prepare(sources.holds, hold)
        place(sources.holds, hold)
        assert hold.whose is not None
        keep(sources.holds, hold, extract(path, hold.whose))
    line = path.read_bytes().splitlines()[-1]
    said = purge_statement(NOTARY, line, who="retention", reason="", held=2, now=moment(NOON_MS))
    purged_path(sources.log, path.stem).write_bytes(line + b"\n" + said + b"\n")
    path.unlink()
    folder, contents = unpacked(tmp_path, sources, order())
    assert (contents.records, contents.purged) == (4, ["2026-11-23"])
    assert main([str(folder)]) == 0
    assert "2026-11-23 was purged by the hub" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    _, contents = unpacked(tmp_path / "other", sources, order("dev-2"))
    assert (contents.records, contents.purged) == (2, ["2026-11-23"])


def test_of_everybody_it_has_whole_days_up_to_the_last_signature(
    tmp_path: Path, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, contents = unpacked(tmp_path, sources, order(None, since_ms=NOON_MS + DAY_MS))
    assert contents.days == ["2026-11-24", "2026-11-25"]
    assert (contents.records, contents.attempts) == (4, 28)
    assert "records.ndjson" not in names(folder)
    assert (folder / "log" / "2026-11-24.ndjson").read_bytes() == days(sources.log)[1].read_bytes()
    assert main([str(folder)]) == 0
    assert "6 lines are chained, 2 checkpoints among them are signed" in capsys.readouterr().out


def test_a_policy_that_was_changed_is_no_evidence(tmp_path: Path, sources: Sources) -> None:
    (sources.policy / SHA256).write_bytes(POLICY + b"x")
    with pytest.raises(Corrupt, match="its content is not what its name says"):
        write_bundle(tmp_path / "bundle.zip", sources, order())


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path, sources: Sources) -> None:
    (tmp_path / "bundle.zip").write_text("mine")
    with pytest.raises(FileExistsError):
        write_bundle(tmp_path / "bundle.zip", sources, order())
