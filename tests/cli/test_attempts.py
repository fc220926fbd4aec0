"""`enforcer attempts`: what the log and the index say, printed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.attempts.log import days
from enforcer.folders import Folders
from tests.cli.site import Run, attempt, write_log
from tests.records import NOON_MS, moment

NEXT_DAY_MS = NOON_MS + 86_400_000


@pytest.fixture(autouse=True)
def afternoon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes after noon: one minute after the last attempt."""
    monkeypatch.setattr("enforcer.cli.times.utc_now", lambda: moment(NOON_MS + 300_000))


def lines_of(folders: Folders) -> list[str]:
    return [line for path in days(folders.log) for line in path.read_text().splitlines()]


def test_the_newest_attempts_come_first(run: Run, recorded: Folders) -> None:
    rows = [line.split() for line in run("attempts", "list").stdout.splitlines()]
    assert rows[0] == ["time", "device", "service", "part", "layer", "name", "rule", "count", "action", "id"]
    assert [row[:9] for row in rows[1:]] == [
        [f"2026-11-23T12:0{minute}:00Z", device, service, part, "dns", name, rule, count, action]
        for minute, device, service, part, name, rule, count, action in [
            (4, "10.20.0.99", "chat", "messaging", "a.chat.test", "chat/suffix/chat.test", "1", "observed"),
            (3, "dev-2", "talk", "site", "www.talk.test", "talk/suffix/talk.test", "1", "blocked"),
            (2, "dev-1", "chat", "messaging", "a.chat.test", "chat/suffix/chat.test", "41", "blocked"),
            (1, "dev-1", "chat", "messaging", "a.chat.test", "chat/suffix/chat.test", "1", "blocked"),
        ]
    ]


def test_json_is_the_lines_of_the_log_as_they_stand_there(run: Run, recorded: Folders) -> None:
    logged = [line for line in lines_of(recorded) if json.loads(line)["type"] == "attempt"]
    assert run("attempts", "list", "--json").stdout.splitlines() == logged[::-1]


@pytest.mark.parametrize(
    ("arguments", "minutes"),
    [
        (("--since", "3m"), [4, 3, 2]),
        (("--since", "2026-11-23T12:03Z"), [4, 3]),
        (("--since", "2026-11-23"), [4, 3, 2, 1]),
        (("--until", "2026-11-23T08:02-04:00"), [1]),
        (("--service", "talk"), [3]),
        (("--device", "dev-1"), [2, 1]),
        (("--group", "team"), [3, 2, 1]),
        (("--name", "Chat.Test."), [4, 2, 1]),
        (("--name", "hat.test"), []),
        (("--layer", "tls"), []),
        (("--action", "observed"), [4]),
        (("--realm", "lab", "--limit", "2"), [4, 3]),
        (("--part", "site"), [3]),
        (("--evidence", "web"), []),
        (("--client", "10.20.0.99"), [4]),
        (("--rule", "talk/suffix/talk.test"), [3]),
    ],
)
def test_options_narrow(run: Run, recorded: Folders, arguments: tuple[str, ...], minutes: list[int]) -> None:
    found = map(json.loads, run("attempts", "list", "--json", *arguments).stdout.splitlines())
    assert [each["time"] for each in found] == [f"2026-11-23T12:0{minute}:00.000Z" for minute in minutes]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--since", "yesterday"), '"yesterday" is not a time; write one, as in "1h", "2026-11-01"'),
        (("--since", "2026-11-23T12:00"), '"2026-11-23T12:00" is not a time'),
        (("--since", "999999w"), '"999999w" is not a time'),
        (("--name", "\x1b[31m,test"), '"\\u001b[31m,test" is not a domain name'),
        (("--name", "chat,test"), '"chat,test" is not a domain name; did you mean "chat.test"?'),
        (("--layer", "smtp"), "'smtp' is not one of"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_options_that_cannot_be_read_are_wrong_use(run: Run, site: Path, arguments: tuple[str, ...], text: str) -> None:
    result = run("attempts", "list", *arguments)
    assert text in " ".join(result.stderr.split())
    assert result.exit_code == 2


@pytest.mark.parametrize("command", [("list",), ("stats",), ("show", "01ABC")])
def test_a_missing_index_is_told(run: Run, site: Path, command: tuple[str, ...]) -> None:
    result = run("attempts", *command)
    assert result.stderr.startswith(f"{site}/data/index/attempts.sqlite: cannot be opened")
    assert result.exit_code == 1


def test_show_prints_every_field_and_the_place_in_the_chain(run: Run, recorded: Folders) -> None:
    lines = lines_of(recorded)
    record = json.loads(lines[2])
    facts = dict(line.split(maxsplit=1) for line in run("attempts", "show", record["id"].lower()).stdout.splitlines())
    assert facts["seq"] == "3"
    assert facts["src.from"] == str((2 << 32) + 1)
    assert facts["identity.source"] == "network"
    assert facts["alpn"] == "-"
    assert facts["prev"] == record["prev"]
    assert facts["hash"] == json.loads(lines[3])["prev"]
    assert facts["file"] == f"{recorded.log}/2026-11-23.ndjson"


def test_show_as_json_is_the_line_of_the_log(run: Run, recorded: Folders) -> None:
    line = lines_of(recorded)[2]
    assert run("attempts", "show", "--json", json.loads(line)["id"]).stdout == f"{line}\n"


def test_show_of_an_unknown_id_is_told(run: Run, recorded: Folders) -> None:
    result = run("attempts", "show", "01KARSJ8T0C2V6M0QF1W3X9Z4B")
    assert result.stderr.startswith('"01KARSJ8T0C2V6M0QF1W3X9Z4B" is no attempt in the index')
    assert result.exit_code == 1


def test_stats_add_up_counts_not_lines(run: Run, recorded: Folders) -> None:
    rows = [line.split() for line in run("attempts", "stats").stdout.splitlines()]
    assert rows == [["service", "attempts", "lines"], ["chat", "43", "3"], ["talk", "1", "1"]]


def test_stats_by_device_as_json_name_nobody_null(run: Run, recorded: Folders) -> None:
    counts = [json.loads(line) for line in run("attempts", "stats", "--by", "device", "--json").stdout.splitlines()]
    assert {"device": "dev-1", "attempts": 42, "lines": 2} in counts
    assert {"device": None, "attempts": 1, "lines": 1} in counts


def test_tail_without_a_log(run: Run, site: Path) -> None:
    result = run("attempts", "tail")
    assert (result.output, result.exit_code) == ("", 0)


def test_tail_prints_the_last_lines_events_too(run: Run, recorded: Folders) -> None:
    assert run("attempts", "tail", "--json").stdout.splitlines() == lines_of(recorded)
    assert run("attempts", "tail", "--json", "-n", "2").stdout.splitlines() == lines_of(recorded)[-2:]
    first, second, *_ = run("attempts", "tail").stdout.splitlines()
    assert first == '2026-11-23T12:00:00Z  start  {"version": "0.1.0"}'
    expected = "2026-11-23T12:01:00Z  dev-1  chat  messaging  dns  a.chat.test  chat/suffix/chat.test  1  blocked"
    assert second == expected


def test_tail_goes_on_with_what_is_written_later_in_a_new_file_too(
    run: Run, recorded: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn() -> None:
        with days(recorded.log)[-1].open("a") as file:
            file.write('{"v":1,"type":"attempt","id":"')

    rounds: Iterator[Callable[[], None]] = iter(
        [
            lambda: write_log(recorded, [attempt(5)], NOON_MS + 400_000),
            lambda: None,
            lambda: write_log(recorded, [attempt(6), attempt(7)], NEXT_DAY_MS),
            torn,
            lambda: write_log(recorded, [attempt(8)], NEXT_DAY_MS),  # a hub that starts cuts the torn line off
        ]
    )

    def sleep(_: float) -> None:
        for round_ in rounds:
            round_()
            return
        raise KeyboardInterrupt

    monkeypatch.setattr("enforcer.cli.attempts.time.sleep", sleep)
    result = run("attempts", "tail", "--json", "-f", "-n", "1")
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [5, 6, 7, 8, 9]
    assert result.exit_code == 130


def test_tail_can_wait_for_the_first_line_ever(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(site / "data")
    waits: Iterator[bool] = iter([True, False])

    def sleep(_: float) -> None:
        if not next(waits):
            raise KeyboardInterrupt
        write_log(folders, [attempt(1)], NOON_MS)

    monkeypatch.setattr("enforcer.cli.attempts.time.sleep", sleep)
    result = run("attempts", "tail", "-f", "-n", "0")
    assert result.stdout.startswith("2026-11-23T12:01:00Z  dev-1  chat")


def test_what_cannot_be_read_is_told_and_passed_over(run: Run, recorded: Folders) -> None:
    with days(recorded.log)[0].open("a") as file:
        file.write("nonsense\n")
    result = run("attempts", "tail", "-n", "2")
    assert "octets is no record" in result.stderr or "does not end" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_names_are_harmless_on_a_terminal(run: Run, site: Path) -> None:
    write_log(Folders(site / "data"), [attempt(1, name="\x1b[2J\u202e.test")], NOON_MS)
    assert "\\u001b[2J\\u202e.test" in run("attempts", "tail").stdout


def test_the_index_is_read_while_the_hub_writes(run: Run, recorded: Folders) -> None:
    writer = SqliteWriter(recorded.index / "attempts.sqlite", recorded.log)
    assert run("attempts", "stats").exit_code == 0
    writer.close()
