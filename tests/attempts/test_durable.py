import os
from pathlib import Path
from unittest import mock

import pytest

from enforcer.attempts.durable import replace_file


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with mock.patch.object(os, "fsync", side_effect=OSError(28, "No space")), pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    replace_file(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    real = os.write
    with mock.patch.object(os, "write", lambda fd, data: real(fd, bytes(data)[:3])):
        replace_file(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"
