"""Which segments there are: marked before a line of theirs is written, deleted behind what is on the disk."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from enforcer.attempts.log import DayLog
from enforcer.attempts.spool import Spool, segments
from enforcer.hub.shelf import Shelf
from tests.records import NOON_MS, spooled


class Site:
    """A worker's spool, a log, and the events that the shelf has told of."""

    def __init__(self, folder: Path) -> None:
        (folder / "run").mkdir()
        self.folder, self.marks = folder, folder / "run" / "recorder.json"
        self.log = DayLog(folder / "log")
        self.told: list[Mapping[str, object]] = []
        self.spool = Spool(folder / "spool" / "dns-0", window_ms=60_000, max_bytes=1 << 30)
        self.shelf = self.open()

    def open(self) -> Shelf:
        return Shelf(self.folder / "spool", self.log, self.marks, lambda _, detail: self.told.append(detail))

    def attempt(self) -> None:
        self.spool.open(spooled(), NOON_MS)

    def marked(self) -> int:
        """How many segments have a mark on the disk."""
        return len(json.loads(self.marks.read_text())["segments"]) if self.marks.exists() else 0

    def left(self) -> list[int]:
        return [path.stat().st_size for _, path in segments(self.folder / "spool" / "dns-0")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_segment_is_open_once_its_mark_is_on_the_disk(site: Site) -> None:
    site.attempt()
    with (
        mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(OSError, match="No space"),
    ):
        site.shelf.discover()
    assert (site.shelf.sources, site.marked()) == ({}, 0)
    site.shelf.discover()
    assert (len(site.shelf.sources), site.marked()) == (1, 1)
    site.shelf.discover()
    assert len(site.shelf.sources) == 1


def test_a_segment_is_deleted_when_its_lines_are_on_the_disk_and_its_workers_newest_is_emptied(site: Site) -> None:
    site.attempt()
    site.spool.seal()
    site.shelf.discover()
    (source,) = site.shelf.sources.values()
    site.shelf.delete()
    assert len(site.shelf.sources) == 1, "nobody says that it is logged"
    source.behind = 1
    site.shelf.delete()
    assert len(site.shelf.sources) == 1, "it is logged behind line 1, which is not on the disk"
    source.behind = 0
    site.shelf.delete()
    assert (site.shelf.sources, site.left()) == ({}, [0])


def test_what_was_never_begun_is_deleted_and_what_is_damaged_kept_aside_and_told(site: Site) -> None:
    folder = site.folder / "spool" / "dns-0"
    for name, content in (("1", bytes(64)), ("2", b"damaged" * 20)):
        (folder / f"{name:0>20}.segment").write_bytes(content)
    site.attempt()
    site.shelf.discover()
    assert [detail["reason"] for detail in site.told] == ["header"]
    assert len(list(folder.glob("*.damaged"))) == 1
    assert len(site.left()) == 1


def test_the_next_hub_finds_the_segment_with_its_mark(site: Site) -> None:
    site.attempt()
    site.shelf.discover()
    site.shelf.close()
    again = site.open()
    again.discover()
    assert [source.resumed for source in again.sources.values()] == [{}]
    again.close()
