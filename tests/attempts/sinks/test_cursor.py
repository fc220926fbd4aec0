from pathlib import Path

import pytest

from enforcer.attempts.log import Cursor
from enforcer.attempts.sinks.cursor import START, Mark, cursors, load_mark, save_mark

MARK = Mark(Cursor("2026-11-23", 4711, 12), bytes(range(32)))


def test_a_mark_is_kept(tmp_path: Path) -> None:
    for mark in (START, MARK):
        save_mark(tmp_path / "siem.json", mark)
        assert load_mark(tmp_path / "siem.json") == mark
    assert cursors(tmp_path) == {"siem": MARK.place}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"day":1}', '{"day":"","offset":0,"seq":0,"sha256":"x"}'])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "siem.json").write_text(text)
    assert load_mark(tmp_path / "siem.json") is None
    assert load_mark(tmp_path / "none.json") is None
    assert cursors(tmp_path) == {}
