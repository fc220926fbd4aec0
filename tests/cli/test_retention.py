"""`enforcer attempts purge` and `hold`, asked of the hub's real part."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.log import days
from enforcer.hub.retention import Retention
from tests.cli.parts import served
from tests.cli.site import Run, attempt
from tests.hub.desk import DAY_MS, Desk
from tests.records import NOON_MS, whole


@pytest.fixture
def desk(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Three days of two devices, and a hub that answers."""
    monkeypatch.setenv("SUDO_USER", "alice")
    desk = Desk(site)
    for number in range(3):
        desk.now_ms = NOON_MS + number * DAY_MS
        entries = [attempt(number * 1440, ip) for ip in ("10.20.0.5", "10.20.0.6")]
        desk.log.append(entries, desk.clock())
    with served(desk, [Retention(desk.means, dict)]):
        yield desk


def test_a_dry_run_says_what_would_be_deleted(run: Run, desk: Desk) -> None:
    result = run("attempts", "purge", "--before", "2026-11-25", "--reason", "end of the pilot", "--dry-run")
    assert [line.rstrip() for line in result.stdout.splitlines()[1:]] == [
        "2026-11-23  would be deleted",
        "2026-11-24  would be deleted",
    ]
    assert len(days(desk.folders.log)) == 3


def test_days_are_deleted_by_whom_and_why(run: Run, desk: Desk) -> None:
    result = run("attempts", "purge", "--before", "2026-11-24", "--reason", "end of the pilot", "--json")
    assert json.loads(result.stdout) == {"day": "2026-11-23", "kept": None, "what": "deleted"}
    [event] = desk.events("purge")
    assert (event["who"], event["reason"]) == ("alice", "end of the pilot")
    whole(desk.folders.log)
    verified = run("attempts", "verify")
    assert "Purged, with the hub's signature: 1 day, 2026-11-23 to 2026-11-23" in verified.stdout
    again = run("attempts", "purge", "--before", "2026-11-24", "--reason", "again")
    assert again.stdout == "There is no day before that\n"


def test_what_is_on_hold_survives(run: Run, desk: Desk) -> None:
    place = ("attempts", "hold", "place", "--reason", "grievance 14")
    assert "Hold case-14 is in force" in run(*place, "--device", "dev-1", "case-14").stdout
    assert run(*place, "--since", "2026-11-24", "--until", "2026-11-24T12:00Z", "audit").exit_code == 0
    result = run("attempts", "purge", "--before", "2026-11-26", "--reason", "x")
    assert [line.rstrip() for line in result.stdout.splitlines()[1:]] == [
        "2026-11-23  deleted",
        "2026-11-24  stays: on hold: audit",
    ]
    rows = [line.split() for line in run("attempts", "hold", "list").stdout.splitlines()]
    assert rows[1:] == [
        ["audit", "-", "2026-11-24T00:00:00Z", "2026-11-24T12:00:00Z", "0", "alice", "grievance", "14"],
        ["case-14", "dev-1", "-", "-", "1", "alice", "grievance", "14"],
    ]
    assert run("attempts", "hold", "release", "case-14", "--reason", "closed").stdout == "Hold case-14 is released\n"
    held = map(json.loads, run("attempts", "hold", "list", "--json").stdout.splitlines())
    assert [each["name"] for each in held] == ["audit"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("hold", "place", "a/b", "--device", "dev-1", "--reason", "x"), '"a/b" is no name of a hold'),
        (("hold", "place", "all", "--reason", "x"), "a hold on everything is no hold"),
        (("hold", "release", "none", "--reason", "x"), '"none" is no hold'),
    ],
)
def test_what_the_hub_refuses_is_told(run: Run, desk: Desk, arguments: tuple[str, ...], text: str) -> None:
    result = run("attempts", *arguments)
    assert (result.exit_code, text in result.stderr) == (1, True)


def test_without_a_hub_nothing_is_deleted_or_held(run: Run, site: Path) -> None:
    for arguments in (
        ("purge", "--before", "2026-11-25", "--reason", "x"),
        ("hold", "place", "case", "--device", "dev-1", "--reason", "x"),
    ):
        result = run("attempts", *arguments)
        assert (result.exit_code, "the hub does not answer" in result.stderr) == (1, True)
    assert run("attempts", "hold", "list").exit_code == 0
