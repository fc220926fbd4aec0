from pathlib import Path

import pytest

from enforcer.attempts.sinks.file import FileSink
from enforcer.errors import Unavailable
from tests.attempts.sinks.receivers import outgoing

ONE = outgoing()
LINE = f"{ONE.text}\n"


def sink(path: Path, max_bytes: int = 1_000_000, keep: int = 2) -> FileSink:
    return FileSink(path, max_bytes=max_bytes, keep=keep)


def test_lines_are_added(tmp_path: Path) -> None:
    path = tmp_path / "out" / "attempts.ndjson"
    for _ in range(2):
        one = sink(path)
        one.check()
        one.send([ONE, ONE])
        one.close()
    assert path.read_text() == LINE * 4
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("torn", ['{"v":1,"ty', "x" * 70_000])
@pytest.mark.parametrize("before", ["", LINE])
def test_what_a_kill_left_of_a_line_is_taken_back(tmp_path: Path, before: str, torn: str) -> None:
    path = tmp_path / "attempts.ndjson"
    path.write_text(before + torn)
    one = sink(path)
    one.send([ONE])
    one.close()
    assert path.read_text() == before + LINE


def test_a_full_file_is_renamed_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "attempts.ndjson"
    one = sink(path, max_bytes=len(LINE) * 2)
    for _ in range(9):
        one.send([ONE])
    one.close()
    sizes = {each.name: each.read_text().count("\n") for each in tmp_path.iterdir()}
    assert sizes == {"attempts.ndjson": 1, "attempts.ndjson.1": 2, "attempts.ndjson.2": 2}


def test_without_old_files_the_full_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "attempts.ndjson"
    one = sink(path, max_bytes=len(LINE), keep=0)
    one.send([ONE])
    one.send([ONE])
    one.close()
    assert [each.name for each in tmp_path.iterdir()] == ["attempts.ndjson"]
    assert path.read_text() == LINE


def test_a_file_that_was_renamed_by_another_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "attempts.ndjson"
    one = sink(path)
    one.send([ONE])
    path.rename(tmp_path / "rotated")
    one.send([ONE])
    one.close()
    assert (tmp_path / "rotated").read_text() == path.read_text() == LINE


def test_a_disk_that_takes_nothing_is_unavailable() -> None:
    full = sink(Path("/dev/full"))
    with pytest.raises(Unavailable, match="/dev/full"):
        full.send([ONE])
    full.close()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable):
        sink(tmp_path / "file" / "attempts.ndjson").send([ONE])
