import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Closes, Event
from enforcer.attempts.checkpoint import Notary, read_public_keys
from enforcer.attempts.log import BEGIN, Cursor, DayLog, backwards, days, read
from enforcer.attempts.verify import verify_log
from tests.records import NOON_MS, logged, moment, whole

DAY_MS = 86_400_000
NOTARY = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = read_public_keys(NOTARY.public_pem.encode())
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
    assert whole(log.folder).seq == 3


def test_a_log_without_lines_verifies(log: DayLog) -> None:
    assert whole(log.folder).lines == 0


def test_a_batch_is_one_write(log: DayLog) -> None:
    write(log, 0)
    with mock.patch.object(os, "write", wraps=os.write) as calls:
        write(log, *range(1, 100))
    assert calls.call_count == 1


def test_each_day_has_its_file_and_the_chain_goes_on(log: DayLog) -> None:
    write(log, 1)
    write(log, 2, at_ms=NOON_MS + DAY_MS)
    assert [path.name for path in days(log.folder)] == ["2026-11-23.ndjson", "2026-11-24.ndjson"]
    assert whole(log.folder).seq == 2


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
    assert whole(log.folder).seq == 3


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
    before = path.read_bytes()
    cut = data.draw(st.integers(0, len(before)))
    tail = data.draw(st.sampled_from([b"", bytes(50), b"{}\n", b"\n\n", b'{"v":1']))
    path.write_bytes(before[:cut] + tail)
    lines = before.splitlines(keepends=True)
    kept = max(count for count in range(4) if path.read_bytes().startswith(b"".join(lines[:count])))
    size = len(b"".join(lines[:kept]))
    again = DayLog(folder)
    assert (again.seq, again.cut) == (kept, cut + len(tail) - size)
    write(again, 9)
    again.close()
    assert numbers(folder) == [*range(1, kept + 1), 9]
    whole(folder)


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
    whole(log.folder)


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
    whole(log.folder)


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
    whole(log.folder)


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
    before = days(log.folder)[0].read_bytes()
    with mock.patch.object(os, "write", wraps=os.write) as calls:
        log.sync()
    assert calls.call_count == 1
    assert days(log.folder)[0].read_bytes() == before
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


def test_who_must_know_has_its_entry_on_the_disk(log: DayLog) -> None:
    write(log, 1)
    log.record(event(2), moment(NOON_MS))
    assert log.synced.seq == 2
    assert numbers(log.folder) == [1, 2]


class SlowDisk(Executor):
    """A disk that takes its time: what it was asked to do is done when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        self.asked.append((done, lambda: fn(*args, **kwargs)))
        return done

    def finish(self) -> None:
        done, work = self.asked.pop(0)
        try:
            done.set_result(work())
        except OSError as error:
            done.set_exception(error)


@pytest.fixture
def disk() -> SlowDisk:
    return SlowDisk()


@pytest.fixture
def slow(tmp_path: Path, disk: SlowDisk) -> DayLog:
    return DayLog(tmp_path / "log", disk=disk)


def test_lines_are_written_while_a_slow_disk_takes_those_before(slow: DayLog, disk: SlowDisk) -> None:
    assert slow.flush(), "there is nothing to wait for"
    write(slow, 1)
    assert not slow.flush()
    write(slow, 2, 3)
    assert not slow.flush()
    assert (slow.synced.seq, len(disk.asked)) == (0, 1)
    size = len(days(slow.folder)[0].read_bytes().splitlines(keepends=True)[0])
    disk.finish()
    assert slow.flush()
    assert slow.synced == Cursor("2026-11-23", size, 1), "what came later is not surely there"
    assert not slow.flush()
    disk.finish()
    assert slow.flush()
    assert slow.synced.seq == 3
    assert numbers(slow.folder) == [1, 2, 3]


def test_what_a_slow_disk_fails_to_take_is_written_again_with_what_came_meanwhile(slow: DayLog, disk: SlowDisk) -> None:
    write(slow, 1)
    with mock.patch.object(os, "fdatasync", side_effect=OSError(5, "Input/output error")):
        slow.flush()
        write(slow, 2)
        before = days(slow.folder)[0].read_bytes()
        disk.finish()
        with pytest.raises(OSError, match="Input/output"):
            slow.flush()
    assert slow.synced.seq == 0
    with mock.patch.object(os, "write", wraps=os.write) as calls:
        assert slow.flush()
    assert calls.call_count == 1
    assert (slow.synced.seq, days(slow.folder)[0].read_bytes()) == (2, before)


def test_who_must_know_at_once_waits_for_what_is_under_way(tmp_path: Path) -> None:
    """Also where a file ends: it is not closed under a thread that still syncs it."""
    with ThreadPoolExecutor(1) as disk:
        log = DayLog(tmp_path / "log", disk=disk)
        write(log, 1)
        log.flush()
        log.sync()
        assert log.synced.seq == 1
        write(log, 2)
        log.flush()
        write(log, 3, at_ms=NOON_MS + DAY_MS)
        log.flush()
        log.close()
    assert log.synced.seq == 3
    whole(log.folder)


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


def test_other_files_in_the_folder_are_no_part_of_the_log(log: DayLog) -> None:
    write(log, 1)
    (log.folder / "notes.txt").write_text("x")
    assert [path.name for path in days(log.folder)] == ["2026-11-23.ndjson"]
    assert days(log.folder / "missing") == []


# Checkpoints


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[DayLog]:
    log = DayLog(tmp_path, NOTARY)
    yield log
    log.close()


def checkpoints(folder: Path) -> list[tuple[object, ...]]:
    found = [line for line in logged(folder) if line["type"] == "checkpoint"]
    return [tuple(line[key] for key in ("seq", "day", "first", "count", "closes")) for line in found]


def test_a_checkpoint_signs_the_lines_of_the_day_so_far(signed: DayLog) -> None:
    write(signed, 1, 2)
    assert (signed.signed, signed.unsigned) == (None, 2)
    signed.checkpoint(moment(NOON_MS))
    write(signed, 3)
    assert signed.signed is not None
    assert (signed.signed.count, signed.unsigned) == (2, 1)
    assert checkpoints(signed.folder) == [(3, "2026-11-23", 1, 2, None)]


def test_without_a_notary_nothing_is_signed(log: DayLog) -> None:
    write(log, 1)
    log.checkpoint(moment(NOON_MS))
    write(log, 2, at_ms=NOON_MS + DAY_MS)
    assert checkpoints(log.folder) == []


def test_the_last_line_of_a_day_signs_it_whole(signed: DayLog) -> None:
    write(signed, 1, 2)
    write(signed, 3, at_ms=NOON_MS + DAY_MS)
    signed.checkpoint(moment(NOON_MS + DAY_MS))
    assert checkpoints(signed.folder) == [(3, "2026-11-23", 1, 2, "day"), (5, "2026-11-24", 4, 1, None)]
    assert [line["seq"] for line in logged(signed.folder)] == [1, 2, 3, 4, 5]


def test_a_checkpoint_can_be_the_first_of_its_day(signed: DayLog) -> None:
    write(signed, 1)
    signed.checkpoint(moment(NOON_MS + DAY_MS))
    assert checkpoints(signed.folder) == [(2, "2026-11-23", 1, 1, "day"), (3, "2026-11-24", 3, 0, None)]


def test_after_a_restart_the_tree_goes_on(signed: DayLog) -> None:
    write(signed, 1, 2)
    signed.checkpoint(moment(NOON_MS))
    write(signed, 3)
    signed.close()
    again = DayLog(signed.folder, NOTARY)
    assert again.signed is not None
    assert (again.signed.count, again.unsigned) == (2, 1)
    again.checkpoint(moment(NOON_MS), Closes.STOP)
    again.close()
    assert checkpoints(signed.folder)[-1] == (5, "2026-11-23", 1, 4, "stop")
    assert verify_log(signed.folder, KEYS).damage is None


def test_nothing_follows_the_checkpoint_that_ends_a_day(signed: DayLog) -> None:
    """A kill after it, before the next file begins; and a clock that is back before midnight then."""
    write(signed, 1)
    no_file = mock.patch("enforcer.attempts.log._open", side_effect=NO_SPACE)
    with no_file, pytest.raises(OSError, match="No space left"):
        write(signed, 2, at_ms=NOON_MS + DAY_MS)
    again = DayLog(signed.folder, NOTARY)
    write(again, 2)
    again.close()
    assert [path.stem for path in days(signed.folder)] == ["2026-11-23", "2026-11-24"]
    assert verify_log(signed.folder, KEYS).damage is None


def test_a_day_is_closed_once_however_often_the_next_file_cannot_be_made(signed: DayLog) -> None:
    write(signed, 1)
    with mock.patch("enforcer.attempts.log._open", side_effect=NO_SPACE):
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                write(signed, 2, at_ms=NOON_MS + DAY_MS)
    write(signed, 2, at_ms=NOON_MS + DAY_MS)
    assert checkpoints(signed.folder) == [(2, "2026-11-23", 1, 1, "day")]


def test_a_checkpoint_that_does_not_fit_leaves_no_trace(signed: DayLog) -> None:
    write(signed, 1)
    with mock.patch.object(os, "write", side_effect=NO_SPACE), pytest.raises(OSError, match="No space"):
        signed.checkpoint(moment(NOON_MS))
    write(signed, 2)
    signed.checkpoint(moment(NOON_MS))
    assert checkpoints(signed.folder) == [(3, "2026-11-23", 1, 2, None)]
    assert verify_log(signed.folder, KEYS).damage is None
