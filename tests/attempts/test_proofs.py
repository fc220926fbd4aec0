from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Event, parse_line
from enforcer.attempts.log import DayLog, days
from enforcer.attempts.proofs import Whose, checkpoint_of, extract, read_extract
from enforcer.errors import Corrupt
from tests.cli.site import attempt
from tests.hub.desk import DAY_MS, NOTARY
from tests.records import NOON_MS, moment

MINUTE_MS = 60_000
DEVICE = Whose("dev-1", None, None)


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """Twelve attempts, one a minute, of two devices in turn; a checkpoint behind eight of them, and no other."""
    log = DayLog(tmp_path, NOTARY)
    for number in range(12):
        ip = "10.20.0.5" if number % 2 else "10.20.0.6"
        log.append([attempt(number, client_ip=ip)], moment(NOON_MS))
        if number == 7:
            log.checkpoint(moment(NOON_MS))
    log.close()
    return days(tmp_path)[0]


def test_a_devices_lines_are_proven_without_the_others(day: Path) -> None:
    found = extract(day, DEVICE)
    assert found.checkpoint is not None
    checkpoint = checkpoint_of(found.checkpoint)
    lines = day.read_bytes().splitlines()
    assert [line.index for line in found.lines] == [1, 3, 5, 7, 10, 12]
    assert [line.line for line in found.lines] == [lines[index] for index in (1, 3, 5, 7, 10, 12)]
    assert [line.is_in(checkpoint) for line in found.lines] == [True] * 4 + [False] * 2
    assert [line.proof is None for line in found.lines] == [False] * 4 + [True] * 2


def test_what_is_written_is_read_again(day: Path, tmp_path: Path) -> None:
    found = extract(day, DEVICE)
    copy = tmp_path / "copy" / day.name
    copy.parent.mkdir()
    copy.write_bytes(b"".join(found.text()))
    assert read_extract(copy) == found
    assert b'"dev-2"' not in copy.read_bytes()


def test_a_changed_line_or_place_is_not_proven(day: Path) -> None:
    found = extract(day, DEVICE)
    assert found.checkpoint is not None
    checkpoint, line = checkpoint_of(found.checkpoint), found.lines[0]
    changed = type(line)(line.day, line.index, line.line.replace(b'"count":1', b'"count":2'), line.proof)
    moved = type(line)(line.day, line.index + 1, line.line, line.proof)
    another = type(line)("2026-11-24", line.index, line.line, line.proof)
    assert [each.is_in(checkpoint) for each in (line, changed, moved, another)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [(None, None, [1, 3, 5, 7, 9, 11]), (3, None, [3, 5, 7, 9, 11]), (None, 5, [1, 3]), (4, 8, [5, 7]), (12, 20, [])],
)
def test_a_time_narrows(day: Path, since: int | None, until: int | None, minutes: list[int]) -> None:
    at = [None if minute is None else NOON_MS + minute * MINUTE_MS for minute in (since, until)]
    found = extract(day, Whose("dev-1", *at))
    assert [(parse_line(each.line).entry.time_ms - NOON_MS) // MINUTE_MS for each in found.lines] == minutes


def test_a_device_that_only_others_speak_of(tmp_path: Path) -> None:
    log = DayLog(tmp_path, NOTARY)
    log.append(
        [Event("access", NOON_MS, "gw", {"device": "dev-1"}), attempt(1, client_ip="10.20.0.6")], moment(NOON_MS)
    )
    log.close()
    found = extract(days(tmp_path)[0], DEVICE)
    assert (found.lines, found.checkpoint) == ((), None)


def test_what_is_no_extract_is_corrupt(tmp_path: Path) -> None:
    for text in (b"{}\n", b"hello\n", b'{"checkpoint":7}\n', b'{"day":"x","index":1,"proof":["zz"],"line":""}\n'):
        (tmp_path / "copy").write_bytes(text)
        with pytest.raises(Corrupt, match="this is no extract of the log"):
            read_extract(tmp_path / "copy")
    with pytest.raises(Corrupt, match="is no checkpoint"):
        checkpoint_of(Event("start", NOON_MS, "gw", {}).body(1, NOON_MS)[:-1] + b',"prev":"' + b"0" * 64 + b'"}')


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.sets(st.integers(0, 29)), signed=st.integers(1, 30))
def test_any_lines_of_any_day(tmp_path_factory: pytest.TempPathFactory, wanted: set[int], signed: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = DayLog(folder, NOTARY)
    for number in range(30):
        log.append([attempt(number, client_ip="10.20.0.5" if number in wanted else "10.20.0.6")], moment(NOON_MS))
        if number == signed - 1:
            log.checkpoint(moment(NOON_MS))
    log.append([Event("start", NOON_MS, "gw", {})], moment(NOON_MS + DAY_MS))
    log.close()
    found = extract(days(folder)[0], DEVICE)
    assert found.checkpoint is not None
    checkpoint = checkpoint_of(found.checkpoint)
    assert len(found.lines) == len(wanted)
    assert all(line.is_in(checkpoint) for line in found.lines)
