from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.attempts.block import Block, Entry, decode_entry
from enforcer.attempts.ledger import Ledger
from enforcer.attempts.spool import Segment, Spool, segments
from tests.records import BLOCK


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, window_ms=60_000, max_bytes=1 << 30, capacity=4, heap=4096)
    yield spool
    spool.close()


def kept(spool: Spool) -> list[tuple[int, Entry]]:
    """Every row of every segment, as the hub reads it."""
    found = []
    for _, path in segments(spool.folder):
        segment = Segment(path)
        rows = [segment.row(index) for index in range(segment.used)]
        found += [(row.count, decode_entry(row.entry)) for row in rows]
        segment.close()
    return found


def other(name: str) -> Block:
    return replace(BLOCK, name=name)


def test_repeats_of_one_client_are_counted_in_one_row(spool: Spool) -> None:
    ledger = Ledger(spool)
    for now_ms in (1000, 1001, 1002):
        assert ledger.record(BLOCK, "192.0.2.1", 40_000 + now_ms, now_ms)
    assert kept(spool) == [(3, Entry(BLOCK, "192.0.2.1", 41_000))]


def test_another_client_proof_or_block_has_a_row_of_its_own(spool: Spool) -> None:
    ledger = Ledger(spool)
    ledger.record(BLOCK, "192.0.2.1", 1, 1000)
    ledger.record(BLOCK, "192.0.2.2", 1, 1000)
    ledger.record(BLOCK, "192.0.2.2", 1, 1000, "token:00")
    ledger.record(other("b.chat.test"), "192.0.2.2", 1, 1000)
    assert [count for count, _ in kept(spool)] == [1, 1, 1, 1]
    assert kept(spool)[2][1].shown == "token:00"


def test_a_window_that_is_over_begins_another_row(spool: Spool) -> None:
    ledger = Ledger(spool)
    ledger.record(BLOCK, "192.0.2.1", 1, 1000)
    ledger.record(BLOCK, "192.0.2.1", 2, 61_000)
    assert [count for count, _ in kept(spool)] == [1, 1]


def test_rows_go_on_in_the_next_segment(spool: Spool) -> None:
    ledger = Ledger(spool)
    for number in range(6):  # a segment holds four
        ledger.record(other(f"n{number}.test"), "192.0.2.1", 1, 1000)
    ledger.record(other("n0.test"), "192.0.2.1", 1, 1001)
    ledger.record(other("n5.test"), "192.0.2.1", 1, 1001)
    found = [(count, entry.block.name) for count, entry in kept(spool)]
    assert sorted(found) == [
        *[(1, "n0.test"), (1, "n0.test"), (1, "n1.test"), (1, "n2.test"), (1, "n3.test"), (1, "n4.test")],
        (2, "n5.test"),
    ]


def test_what_cannot_be_kept_is_said_and_why(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "full", window_ms=60_000, max_bytes=1)
    ledger = Ledger(spool)
    assert not ledger.record(BLOCK, "192.0.2.1", 1, 1000)
    assert ledger.full == "spool_full"


def test_a_client_that_must_not_be_written_down_is_not(spool: Spool) -> None:
    Ledger(spool).record(BLOCK, None, None, 1000)
    assert kept(spool) == [(1, Entry(BLOCK, None, None))]
