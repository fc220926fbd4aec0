from pathlib import Path

import pytest

from enforcer.attempts.attempt import POSITIONS, Attempt, Entry, Event
from enforcer.attempts.log import DayLog
from enforcer.devices.registry import NOBODY
from enforcer.hub.resume import DAMAGED, Marks, load_marks, resume, save_marks
from tests.records import BLOCK, NOON_MS, moment


def attempt(row: int, first: int, to: int, epoch: int = 5) -> Attempt:
    base = row * POSITIONS
    return Attempt(
        NOON_MS, NOON_MS, NOON_MS + to, "gw", "dns-0", epoch, base + first, base + to, BLOCK, None, None, NOBODY
    )


def loss(count: int, total: int) -> Event:
    return Event("loss", NOON_MS, "gw", {"worker": "dns-0", "reason": "disk_full", "count": count, "total": total})


def log_of(folder: Path, *entries: Entry) -> Path:
    log = DayLog(folder / "log")
    log.append(entries, moment(NOON_MS))
    log.close()
    return log.folder


def test_what_is_logged_of_each_row_is_found_with_its_last_time(tmp_path: Path) -> None:
    folder = log_of(tmp_path, attempt(0, 1, 1), attempt(3, 1, 1), attempt(0, 2, 9))
    done = resume(folder, Marks(3, {("dns-0", 5): 0}))
    assert done.rows == {("dns-0", 5): {0: (9, NOON_MS + 9), 3: (1, NOON_MS + 1)}}
    assert done.floor == 0


def test_it_looks_no_further_back_than_the_marks_say(tmp_path: Path) -> None:
    folder = log_of(tmp_path, attempt(0, 1, 1), attempt(0, 1, 1, epoch=6))
    assert resume(folder, Marks(1, {("dns-0", 6): 1})).rows == {("dns-0", 6): {0: (1, NOON_MS + 1)}}


def test_without_marks_it_looks_at_everything(tmp_path: Path) -> None:
    folder = log_of(tmp_path, attempt(0, 1, 1), attempt(0, 1, 1, epoch=6))
    assert set(resume(folder, Marks()).rows) == {("dns-0", 5), ("dns-0", 6)}


def test_a_recorded_gap_is_not_recorded_again(tmp_path: Path) -> None:
    detail = {"worker": "dns-0", "epoch": 5, "row": 2, "count": 4, "reason": "row"}
    folder = log_of(tmp_path, attempt(2, 1, 1), Event("gap", NOON_MS, "gw", detail))
    assert resume(folder, Marks()).rows["dns-0", 5][2] == (DAMAGED, 0)


def test_losses_are_those_of_the_marks_and_of_the_events_after_them(tmp_path: Path) -> None:
    folder = log_of(tmp_path, loss(3, 3), attempt(0, 1, 1), loss(4, 7), loss(1, 8))
    marks = Marks(2, {("dns-0", 5): 0}, {"dns-0": {"disk_full": 3, "spool_full": 1}})
    assert resume(folder, marks).lost == {"dns-0": {"disk_full": 8, "spool_full": 1}}
    marks = Marks(4, {("dns-0", 5): 0}, {"dns-0": {"disk_full": 9}})
    assert resume(folder, marks).lost == {"dns-0": {"disk_full": 9}}


def test_marks_come_back_as_they_were_saved(tmp_path: Path) -> None:
    marks = Marks(9, {("dns-0", 5): 3, ("dns-1", 6): 9}, {"dns-0": {"disk_full": 3}})
    save_marks(tmp_path / "marks", marks)
    assert load_marks(tmp_path / "marks") == marks


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"seq":1,"segments":[[1]],"lost":{}}'])
def test_unreadable_marks_are_no_marks(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "marks").write_bytes(content)
    assert load_marks(tmp_path / "marks") == Marks()
