"""`enforcer attempts bundle`, asked of the hub's real parts; and what an auditor does with it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from enforcer.hub.access import AccessLog
from enforcer.hub.checkpoints import Checkpoints
from tests.attempts.bundled import compiled_policy
from tests.cli.parts import served
from tests.cli.site import Run, attempt
from tests.hub.desk import NOTARY, Desk
from tests.records import whole

SHA256, POLICY = compiled_policy()
REASON = ("--reason", "access request 12")


@pytest.fixture
def desk(site: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Two devices' attempts of a day, which nothing signs yet."""
    monkeypatch.setenv("SUDO_USER", "alice")
    desk = Desk(site)
    entries = [attempt(n, ip, ruleset=SHA256[:12]) for n, ip in enumerate(["10.20.0.5", "10.20.0.6"])]
    desk.log.append(entries, desk.clock())
    desk.folders.policy.mkdir()
    (desk.folders.policy / SHA256).write_bytes(POLICY)
    return desk


@pytest.fixture
def hub(desk: Desk) -> Iterator[Desk]:
    with served(desk, [AccessLog(desk.means), Checkpoints(desk.means)]):
        yield desk


def test_a_bundle_is_signed_recorded_and_can_be_checked_elsewhere(run: Run, hub: Desk, site: Path) -> None:
    result = run("attempts", "bundle", "--device", "dev-1", "--since", "2026-11-23", *REASON, "case.zip")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "case.zip: 1 record of 1 attempt, on 1 day"
    assert hub.events("access") == [
        {
            "look": "bundle",
            "who": "alice",
            "reason": "access request 12",
            "device": "dev-1",
            "since": "2026-11-23T00:00:00.000Z",
            "until": None,
            "records": 1,
        }
    ]
    whole(hub.folders.log)
    with ZipFile(site / "case.zip") as archive:
        archive.extractall(site / "unpacked")
    (site / "key.pem").write_text(NOTARY.public_pem)
    command = [sys.executable, str(site / "unpacked" / "verify.py"), "--key", str(site / "key.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 of them not signed yet" in done.stdout


def test_everybodys_days(run: Run, hub: Desk, site: Path) -> None:
    result = run("attempts", "bundle", "--everybody", *REASON, "--json", "all.zip")
    assert json.loads(result.stdout) == {
        "records": 2,
        "attempts": 2,
        "unproven": 0,
        "days": ["2026-11-23"],
        "purged": [],
        "policies": [SHA256],
        "missing": [],
    }
    assert hub.events("access")[0]["device"] is None


def test_without_a_hub_nothing_is_handed_out(run: Run, desk: Desk, site: Path) -> None:
    result = run("attempts", "bundle", "--device", "dev-1", *REASON, "case.zip")
    assert (result.exit_code, "the hub does not answer" in result.stderr) == (1, True)
    assert not list(site.glob("case.zip*"))


def test_an_access_that_is_not_recorded_leaves_no_file(run: Run, desk: Desk, site: Path) -> None:
    with served(desk, [Checkpoints(desk.means)]):
        result = run("attempts", "bundle", "--device", "dev-1", *REASON, "case.zip")
    assert (result.exit_code, '"access" is no operation' in result.stderr) == (1, True)
    assert not list(site.glob("case.zip*"))


def test_on_a_copy_it_says_what_nothing_signs(run: Run, desk: Desk, site: Path) -> None:
    (desk.folders.policy / SHA256).unlink()
    result = run("attempts", "bundle", "--device", "dev-1", "--without-hub", *REASON, "case.zip")
    assert result.exit_code == 0
    assert "1 of them are behind the last signature, and not proven" in result.stdout
    assert f"Policies that are not there any more: {SHA256[:12]}" in result.stdout
    assert desk.events("access") == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("new.zip",), "say whose records: --device ID, or --everybody"),
        (("--device", "dev-1", "--everybody", "new.zip"), "say whose records"),
        (("--device", "dev-1", "there.zip"), "there.zip is there already"),
    ],
)
def test_wrong_use(run: Run, hub: Desk, site: Path, arguments: tuple[str, ...], text: str) -> None:
    (site / "there.zip").write_text("mine")
    result = run("attempts", "bundle", *REASON, *arguments)
    assert (result.exit_code, text in result.stderr) == (2, True)
    assert (site / "there.zip").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_told(run: Run, hub: Desk, site: Path) -> None:
    result = run("attempts", "bundle", "--device", "dev-1", *REASON, "missing/case.zip")
    assert (result.exit_code, "missing/case.zip.new: No such file" in result.stderr) == (1, True)
