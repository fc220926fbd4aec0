from pathlib import Path

import pytest

from enforcer.attempts.sinks.follow import Progress
from enforcer.attempts.sinks.status import Status, read_status, write_status


def test_what_is_written_is_read(tmp_path: Path) -> None:
    status = Status(7, Progress(records=3, waiting_ms=5, trouble="it is away"))
    write_status(tmp_path / "siem.json", status)
    assert read_status(tmp_path / "siem.json") == status


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at_ms":1,"other":2}'])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "siem.json").write_text(text)
    assert read_status(tmp_path / "siem.json") is None
    assert read_status(tmp_path / "none.json") is None
