from pathlib import Path

from enforcer.attempts.log import BEGIN, Cursor
from enforcer.attempts.place import agrees, line_hash


def test_the_line_before_the_place_tells(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-23.ndjson"
    path.write_bytes(b"one\ntwo\nthree\n")
    place = Cursor("2026-11-23", 8, 2)
    assert agrees(tmp_path, place, line_hash(b"two"))
    assert not agrees(tmp_path, place, line_hash(b"one"))
    assert not agrees(tmp_path, place, None)
    assert not agrees(tmp_path, Cursor("2026-11-23", 7, 2), line_hash(b"two")), "not at the end of a line"
    path.write_bytes(b"one\n")
    assert not agrees(tmp_path, place, line_hash(b"two")), "cut short"
    path.unlink()
    assert agrees(tmp_path, place, line_hash(b"two")), "purged"


def test_a_beginning_agrees_with_everything(tmp_path: Path) -> None:
    (tmp_path / "2026-11-23.ndjson").write_bytes(b"one\n")
    assert agrees(tmp_path, BEGIN, None)
    assert agrees(tmp_path, Cursor("2026-11-23", 0, 7), None)
