import errno
import fcntl
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.spool import (
    HEADER,
    NO_ROW,
    R_COUNT,
    R_CRC,
    ROW,
    ROW_WORDS,
    SEGMENT_AGE_MS,
    Row,
    Segment,
    Spool,
    segments,
)
from enforcer.errors import Corrupt
from tests.records import NOON_MS

WINDOW_MS = 60_000
SIZE = HEADER + 4 * ROW + 256


def make(folder: Path, max_bytes: int = 1 << 30) -> Spool:
    return Spool(folder, window_ms=WINDOW_MS, max_bytes=max_bytes, capacity=4, heap=256)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = make(tmp_path / "dns-0")
    yield spool
    spool.close()


def newest(spool: Spool) -> Segment:
    return Segment(list(segments(spool.folder))[-1][1])


def rows(segment: Segment) -> list[Row]:
    try:
        return [segment.row(index) for index in range(segment.used)]
    finally:
        segment.close()


def test_an_entry_is_read_back_with_its_count_and_its_times(spool: Spool) -> None:
    row = spool.open(b"first", NOON_MS)
    spool.open(b"second", NOON_MS + 1)
    for later in (5, 7, 9):
        assert spool.repeat(row, NOON_MS + later)
    assert rows(newest(spool)) == [
        Row(4, NOON_MS, NOON_MS + 5, NOON_MS + 9, b"first"),
        Row(1, NOON_MS + 1, 0, NOON_MS + 1, b"second"),
    ]


def test_a_reader_sees_counts_grow(spool: Spool) -> None:
    row = spool.open(b"x", NOON_MS)
    segment = newest(spool)
    for count in range(1, 4):
        assert segment.count(0) == count
        spool.repeat(row, NOON_MS)
    segment.close()


def test_a_row_takes_repeats_until_its_window_is_over(spool: Spool) -> None:
    row = spool.open(b"x", NOON_MS)
    assert spool.repeat(row, NOON_MS + WINDOW_MS - 1)
    assert not spool.repeat(row, NOON_MS + WINDOW_MS)


def test_without_a_window_no_row_takes_repeats(tmp_path: Path) -> None:
    spool = Spool(tmp_path, window_ms=0, max_bytes=1 << 30, capacity=4, heap=256)
    assert not spool.repeat(spool.open(b"x", NOON_MS), NOON_MS)
    spool.close()


def test_a_full_segment_is_ended_and_another_begun(spool: Spool) -> None:
    generation = spool.generation
    for number in range(5):
        spool.open(b"%d" % number, NOON_MS)
    assert spool.generation == generation + 1
    (_, first), (_, second) = segments(spool.folder)
    ended = Segment(first)
    assert ended.finished()
    assert [row.entry for row in rows(ended)] == [b"0", b"1", b"2", b"3"]
    assert [row.entry for row in rows(Segment(second))] == [b"4"]


def test_a_full_heap_ends_the_segment_too(spool: Spool) -> None:
    for letter in (b"a", b"b", b"c"):
        spool.open(letter * 100, NOON_MS)
    assert [len(rows(Segment(path))) for _, path in segments(spool.folder)] == [2, 1]


def test_epochs_rise_whatever_the_clock_does(spool: Spool) -> None:
    for number in range(20):
        spool.open(b"%d" % number, NOON_MS - number * 1000)
    epochs = [epoch for epoch, _ in segments(spool.folder)]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 5


def test_a_worker_that_replaces_a_killed_one_goes_on_behind_its_last_epoch(spool: Spool) -> None:
    spool.open(b"x", NOON_MS)
    again = make(spool.folder)
    again.open(b"y", NOON_MS - 1000)
    assert [epoch for epoch, _ in segments(spool.folder)] == [NOON_MS, NOON_MS + 1]
    again.close()


def test_an_old_segment_is_ended_and_the_next_is_there_before_it_is_needed(spool: Spool) -> None:
    spool.tick(NOON_MS)
    spool.open(b"x", NOON_MS)
    spool.tick(NOON_MS + SEGMENT_AGE_MS - 1)
    assert len(list(segments(spool.folder))) == 1
    spool.tick(NOON_MS + SEGMENT_AGE_MS)
    (_, old), (_, new) = segments(spool.folder)
    assert rows(Segment(old)) == [Row(1, NOON_MS, 0, NOON_MS, b"x")]
    assert rows(Segment(new)) == []


def test_a_segment_with_nothing_in_it_does_not_grow_old(spool: Spool) -> None:
    for hours in range(5):
        spool.tick(NOON_MS + hours * 3_600_000)
    assert [epoch for epoch, _ in segments(spool.folder)] == [NOON_MS]


def test_a_live_segment_is_not_finished_and_an_ended_one_is(spool: Spool) -> None:
    spool.open(b"x", NOON_MS)
    segment = newest(spool)
    assert not segment.finished()
    spool.seal()
    assert segment.finished()
    segment.close()


def test_above_the_limit_there_is_no_row_until_the_hub_has_deleted_one(tmp_path: Path) -> None:
    spool = make(tmp_path, max_bytes=SIZE)
    for number in range(4):
        assert spool.open(b"%d" % number, NOON_MS) != NO_ROW
    assert (spool.open(b"4", NOON_MS), spool.full) == (NO_ROW, "spool_full")
    next(segments(tmp_path))[1].unlink()
    assert spool.open(b"4", NOON_MS + 999) == NO_ROW, "it looks again once a second"
    assert spool.open(b"4", NOON_MS + 1000) != NO_ROW
    assert not spool.full
    spool.close()


def test_a_full_disk_is_an_error_of_the_preallocation_and_leaves_no_file(spool: Spool) -> None:
    with mock.patch.object(os, "posix_fallocate", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        assert spool.open(b"x", NOON_MS) == NO_ROW
    assert spool.full == "disk_full"
    assert list(segments(spool.folder)) == []
    assert spool.open(b"x", NOON_MS + 1000) != NO_ROW


@pytest.mark.parametrize(("word", "value"), [(R_CRC, 1), (R_COUNT, 0), (4, 1 << 40), (4, 0xFFFF)])
def test_a_damaged_row_is_corrupt(spool: Spool, word: int, value: int) -> None:
    row = spool.open(b"x", NOON_MS)
    spool.rows[row + word] = value
    segment = newest(spool)
    with pytest.raises(Corrupt, match="row 0 is damaged"):
        segment.row(0)
    segment.close()


@pytest.mark.parametrize("octets", [0, 1, HEADER - 1])
def test_a_file_shorter_than_a_header_is_no_segment(tmp_path: Path, octets: int) -> None:
    path = tmp_path / "5.segment"
    path.write_bytes(bytes(octets))
    with pytest.raises(Corrupt, match=f"{octets} octets"):
        Segment(path)


def test_a_segment_whose_header_was_never_completed_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "5.segment"
    path.write_bytes(bytes(SIZE))
    segment = Segment(path)
    assert (segment.begun, segment.used, segment.finished()) == (False, 0, True)
    segment.close()


@given(data=st.binary(min_size=HEADER, max_size=SIZE))
def test_any_bytes_are_a_segment_of_rows_or_corrupt(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "5.segment"
    path.write_bytes(b"ENFSPL01" + data[8:])
    segment = Segment(path)
    for index in range(segment.used):
        try:
            segment.row(index)
        except Corrupt:
            continue
    segment.close()


def test_syncing_lets_go_of_what_was_ended(spool: Spool) -> None:
    spool.open(b"x", NOON_MS)
    spool.seal()
    with mock.patch.object(os, "fdatasync", wraps=os.fdatasync) as synced:
        spool.sync()
        spool.sync()
    assert synced.call_count == 1
    assert not spool._unsynced


def test_nothing_but_the_owner_may_read_it(spool: Spool) -> None:
    spool.open(b"x", NOON_MS)
    assert [path.stat().st_mode & 0o777 for path in (spool.folder, newest(spool).path)] == [0o700, 0o600]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([b"a", b"bb" * 40, b"c" * 120, b"d", b"e", b"f"]), st.integers(0, WINDOW_MS // 2))
    )
)
def test_the_sum_of_all_counts_is_what_was_counted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, int]]
) -> None:
    spool = make(tmp_path_factory.mktemp("spool"))
    at: dict[bytes, tuple[int, int]] = {}
    now_ms = NOON_MS
    for entry, after_ms in steps:
        now_ms += after_ms
        generation, row = at.get(entry, (-1, 0))
        if generation != spool.generation or not spool.repeat(row, now_ms):
            row = spool.open(entry, now_ms)
            at[entry] = spool.generation, row
    spool.seal()
    counted: Counter[bytes] = Counter()
    for _, path in segments(spool.folder):
        for row_read in rows(Segment(path)):
            counted[row_read.entry] += row_read.count
            assert row_read.last_ms - row_read.first_ms < WINDOW_MS
    assert counted == Counter(entry for entry, _ in steps)
    spool.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # whatever ran before may have left a thread
def test_what_a_killed_worker_counted_is_all_there(tmp_path: Path) -> None:
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        spool = make(tmp_path)
        row = spool.open(b"x", NOON_MS)
        for _ in range(999):
            spool.repeat(row, NOON_MS)
        os.write(tells, b"!")
        signal.pause()
    os.read(told, 1)
    segment = Segment(next(segments(tmp_path))[1])
    assert not segment.finished(), "it lives"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert segment.finished()
    assert segment.row(0).count == 1000
    segment.close()
    os.close(told)
    os.close(tells)


def test_rows_are_where_the_layout_says(spool: Spool) -> None:
    assert spool.open(b"x", NOON_MS) == HEADER // 8
    assert spool.open(b"y", NOON_MS) == HEADER // 8 + ROW_WORDS


def test_two_readers_do_not_take_each_other_for_the_writer(spool: Spool) -> None:
    spool.open(b"x", NOON_MS)
    first, second = newest(spool), newest(spool)
    spool.seal()
    spool.sync()
    fcntl.flock(first._fd, fcntl.LOCK_SH)
    assert second.finished()
    first.close()
    second.close()
