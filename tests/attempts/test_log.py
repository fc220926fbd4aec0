import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Event
from enforcer.attempts.log import BEGIN, Cursor, DayLog, backwards, days, read, verify_log
from enforcer.errors import Corrupt
from tests.records import NOON_MS, logged, moment

DAY_MS = 86_400_000
NO_SPACE = OSError(28, "No space left on device")


def event(number: int) -> Event:
    return Event("start", NOON_MS, "gw", {"number": number})


def numbers(folder: Path) -> list[object]:
    return [line["detail"]["number"] for line in logged(folder)]  # type: ignore[index]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DayLog]:
    log = DayLog(tmp_path)
    yield log
    log.close()


def write(log: DayLog, *which: int, at_ms: int = NOON_MS) -> None:
    log.append([event(number) for number in which], moment(at_ms))


def test_lines_are_numbered_without_a_gap_and_chained(log: DayLog) -> None:
    write(log, 1, 2)
    write(log, 3)
    assert [line["seq"] for line in logged(log.folder)] == [1, 2, 3]
    last = verify_log(log.folder)
    assert last is not None
    assert (last.seq, last.logged_ms) == (3, NOON_MS)


def test_a_log_without_lines_verifies(log: DayLog) -> None:
    assert verify_log(log.folder) is None


def test_a_batch_is_one_write(log: DayLog) -> None:
    write(log, 0)
    with mock.patch.object(os, "write", wraps=os.write) as calls:
        write(log, *range(1, 100))
    assert calls.call_count == 1


def test_each_day_has_its_file_and_the_chain_goes_on(log: DayLog) -> None:
    write(log, 1)
    write(log, 2, at_ms=NOON_MS + DAY_MS)
    assert [path.name for path in days(log.folder)] == ["2026-11-23.ndjson", "2026-11-24.ndjson"]
    last = verify_log(log.folder)
    assert last is not None
    assert last.seq == 2


def test_a_clock_that_goes_back_does_not_go_back_to_an_older_file(log: DayLog) -> None:
    write(log, 1)
    write(log, 2, at_ms=NOON_MS - 3 * DAY_MS)
    assert [path.name for path in days(log.folder)] == ["2026-11-23.ndjson"]
    assert logged(log.folder)[1]["logged"] == "2026-11-20T12:00:00.000Z"


def test_numbers_and_hashes_go_on_after_a_restart(log: DayLog) -> None:
    write(log, 1, 2)
    log.close()
    again = DayLog(log.folder)
    assert (again.seq, again.cut, again.logged_ms) == (2, 0, NOON_MS)
    write(again, 3)
    again.close()
    assert verify_log(log.folder).seq == 3  # type: ignore[union-attr]


def test_only_the_owner_may_read_it(log: DayLog) -> None:
    write(log, 1)
    assert [path.stat().st_mode & 0o777 for path in (log.folder / "2026-11-23.ndjson",)] == [0o600]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_torn_end_is_cut_off_and_all_before_it_stays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = DayLog(folder)
    write(log, 1, 2, 3)
    log.close()
    path = days(folder)[0]
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    tail = data.draw(st.sampled_from([b"", bytes(50), b"{}\n", b"\n\n", b'{"v":1']))
    path.write_bytes(whole[:cut] + tail)
    lines = whole.splitlines(keepends=True)
    kept = max(count for count in range(4) if path.read_bytes().startswith(b"".join(lines[:count])))
    size = len(b"".join(lines[:kept]))
    again = DayLog(folder)
    assert (again.seq, again.cut) == (kept, cut + len(tail) - size)
    write(again, 9)
    again.close()
    assert numbers(folder) == [*range(1, kept + 1), 9]
    verify_log(folder)


def test_lines_behind_a_page_that_never_reached_the_disk_are_cut_off_too(log: DayLog) -> None:
    write(log, *range(10))
    log.close()
    path = days(log.folder)[0]
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    again = DayLog(log.folder)
    again.close()
    assert numbers(log.folder) == list(range(again.seq))
    assert 0 < again.seq < 10


def test_a_first_line_of_a_day_that_is_torn_leaves_the_day_before_in_force(log: DayLog) -> None:
    write(log, 1)
    write(log, 2, at_ms=NOON_MS + DAY_MS)
    log.close()
    path = days(log.folder)[1]
    path.write_bytes(path.read_bytes()[:-1])
    again = DayLog(log.folder)
    assert again.seq == 1
    write(again, 3)
    again.close()
    assert [path.stat().st_size > 0 for path in days(log.folder)] == [True, True]
    verify_log(log.folder)


def test_a_full_disk_leaves_no_part_of_a_batch(log: DayLog) -> None:
    write(log, 1)
    before = days(log.folder)[0].read_bytes()

    def part(fd: int, data: bytes) -> int:
        if len(data) > 10:
            return real(fd, bytes(data)[:10])
        raise NO_SPACE

    real = os.write
    with mock.patch.object(os, "write", part), pytest.raises(OSError, match="No space"):
        log.append([event(2)], moment(NOON_MS))
    with mock.patch.object(os, "write", lambda fd, data: real(fd, bytes(data)[:10])):
        write(log, 2)
    assert days(log.folder)[0].read_bytes().startswith(before)
    assert numbers(log.folder) == [1, 2]
    verify_log(log.folder)


def test_a_part_that_cannot_be_cut_back_at_once_is_cut_back_later(log: DayLog) -> None:
    write(log, 1)
    real = os.write

    def part(fd: int, data: bytes) -> int:
        real(fd, bytes(data)[:10])
        raise NO_SPACE

    with (
        mock.patch.object(os, "write", part),
        mock.patch.object(os, "ftruncate", side_effect=OSError(5, "Input/output error")),
        pytest.raises(OSError, match="No space"),
    ):
        write(log, 2)
    write(log, 3)
    assert numbers(log.folder) == [1, 3]
    verify_log(log.folder)


def test_what_a_failed_sync_may_have_lost_is_written_again(log: DayLog) -> None:
    write(log, 1)
    log.sync()
    write(log, 2)
    with mock.patch.object(os, "fdatasync", side_effect=OSError(5, "Input/output error")):
        with pytest.raises(OSError, match="Input/output"):
            log.sync()
        with pytest.raises(OSError, match="Input/output"):
            write(log, 3)
    assert log.synced.seq == 1
    whole = days(log.folder)[0].read_bytes()
    with mock.patch.object(os, "write", wraps=os.write) as calls:
        log.sync()
    assert calls.call_count == 1
    assert days(log.folder)[0].read_bytes() == whole
    assert log.synced.seq == 2


def test_the_old_day_is_on_the_disk_before_the_new_one_begins(log: DayLog) -> None:
    write(log, 1)
    broken = mock.patch.object(os, "fdatasync", side_effect=OSError(5, "Input/output error"))
    with broken, pytest.raises(OSError, match="Input/output"):
        write(log, 2, at_ms=NOON_MS + DAY_MS)
    assert [path.stem for path in days(log.folder)] == ["2026-11-23"]


def test_synced_says_how_far_the_log_is_on_the_disk(log: DayLog) -> None:
    assert log.synced == BEGIN
    write(log, 1)
    assert log.synced.seq == 0
    log.sync()
    assert log.synced == Cursor("2026-11-23", days(log.folder)[0].stat().st_size, 1)


def test_reading_goes_on_where_it_ended_and_stops_where_it_is_told(log: DayLog) -> None:
    write(log, 1, 2)
    write(log, 3, 4, at_ms=NOON_MS + DAY_MS)
    places = [(day, at) for _, day, at in read(log.folder)]
    assert [day for day, _ in places] == ["2026-11-23"] * 2 + ["2026-11-24"] * 2
    for index, (day, at) in enumerate(places, 1):
        assert len(list(read(log.folder, Cursor(day, at, index)))) == 4 - index
        assert len(list(read(log.folder, until=Cursor(day, at, index)))) == index


def test_a_line_that_is_being_written_is_left_for_the_next_time(log: DayLog) -> None:
    write(log, 1)
    path = days(log.folder)[0]
    path.write_bytes(path.read_bytes() + b'{"v":1')
    assert len(list(read(log.folder))) == 1


@pytest.mark.parametrize("block", [1, 7, 300, 1 << 20])
def test_backwards_gives_every_whole_line_newest_first(log: DayLog, block: int) -> None:
    write(log, *range(20))
    write(log, *range(20, 30), at_ms=NOON_MS + DAY_MS)
    path = days(log.folder)[1]
    with path.open("ab") as file:
        file.write(b'{"v":1,"torn')
    with mock.patch("enforcer.attempts.log._BLOCK", block):
        assert list(backwards(log.folder)) == [line for line, _, _ in read(log.folder)][::-1]


def test_verifying_names_the_file_and_the_line(log: DayLog) -> None:
    write(log, 1)
    write(log, 2, 3, at_ms=NOON_MS + DAY_MS)
    path = days(log.folder)[1]
    path.write_bytes(path.read_bytes().replace(b'"number":2', b'"number":5'))
    with pytest.raises(Corrupt, match=r"2026-11-24\.ndjson: line 2 \(number 3\)"):
        verify_log(log.folder)


def test_verifying_finds_a_missing_day(log: DayLog) -> None:
    for day in range(3):
        write(log, day, at_ms=NOON_MS + day * DAY_MS)
    days(log.folder)[1].unlink()
    with pytest.raises(Corrupt, match=r"2026-11-25\.ndjson: line 1: number 3 follows number 1"):
        verify_log(log.folder)


def test_verifying_finds_a_torn_end(log: DayLog) -> None:
    write(log, 1)
    with days(log.folder)[0].open("ab") as file:
        file.write(b"{")
    with pytest.raises(Corrupt, match="the last line has no end"):
        verify_log(log.folder)


def test_a_log_whose_first_days_were_purged_verifies(log: DayLog) -> None:
    for day in range(3):
        write(log, day, at_ms=NOON_MS + day * DAY_MS)
    days(log.folder)[0].unlink()
    assert verify_log(log.folder).seq == 3  # type: ignore[union-attr]


def test_other_files_in_the_folder_are_no_part_of_the_log(log: DayLog) -> None:
    write(log, 1)
    (log.folder / "notes.txt").write_text("x")
    assert [path.name for path in days(log.folder)] == ["2026-11-23.ndjson"]
    assert days(log.folder / "missing") == []
