import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.formats.table import COLUMNS
from tests.cli.recorded import Indexed, answering
from tests.cli.site import ENTRIES, Run, attempt

WHY = ("--reason", "monthly review")


@pytest.fixture
def desk(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Indexed]:
    monkeypatch.setenv("SUDO_USER", "alice")
    with answering(site) as desk:
        desk.show(*ENTRIES)
        yield desk


def test_json_is_the_log_oldest_first(run: Run, desk: Indexed) -> None:
    expected = [json.dumps(line, separators=(",", ":")) for line in desk.lines("attempt")]
    result = run("attempts", "export", *WHY)
    assert result.stdout.splitlines() == expected
    assert result.stderr.startswith("Exporting 4 records")


def test_pages_join_without_a_gap(run: Run, desk: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.cli.export._PAGE", 2)
    desk.show(attempt(5), attempt(6))
    times = [json.loads(line)["time"] for line in run("attempts", "export", *WHY).stdout.splitlines()]
    assert len(times) == 6
    assert times == sorted(times)


def test_csv_has_a_header_and_stable_columns(run: Run, desk: Indexed) -> None:
    rows = list(csv.DictReader(run("attempts", "export", "--format", "csv", *WHY).stdout.splitlines()))
    assert [row["device"] for row in rows] == ["dev-1", "dev-1", "dev-2", ""]
    assert [row["count"] for row in rows] == ["1", "41", "1", "1"]
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.parametrize(
    ("form", "start"),
    [("ecs", '{"@timestamp":'), ("ocsf", '{"metadata":'), ("cef", "CEF:0|"), ("leef", "LEEF:2.0|")],
)
def test_other_languages_are_one_line_each(run: Run, desk: Indexed, form: str, start: str) -> None:
    lines = run("attempts", "export", "--format", form, "--service", "chat", *WHY).stdout.splitlines()
    assert [line[: len(start)] for line in lines] == [start] * 3


def test_who_takes_records_away_is_written_down(run: Run, desk: Indexed) -> None:
    run("attempts", "export", "--device", "dev-1", "--since", "2026-11-23", *WHY)
    assert desk.events("access") == [
        {
            "look": "export",
            "who": "alice",
            "reason": "monthly review",
            "device": "dev-1",
            "since": "2026-11-23T00:00:00+00:00",
            "until": None,
            "records": 2,
        }
    ]


def test_without_a_reason_or_a_hub_nothing_is_exported(run: Run, site: Path, desk: Indexed) -> None:
    assert "Missing option '--reason'" in run("attempts", "export").stderr
    desk.folders.control.unlink()
    result = run("attempts", "export", *WHY)
    assert (result.stdout, result.exit_code) == ("", 1)
    assert "the hub does not answer" in result.stderr


def test_nothing_found_is_nothing_printed(run: Run, desk: Indexed) -> None:
    assert run("attempts", "export", "--service", "none", *WHY).stdout == ""
