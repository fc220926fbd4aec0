import sys
from pathlib import Path

import pytest

from enforcer.attempts.index.open import open_reader, open_writer
from enforcer.attempts.index.postgres import PostgresIndex, PostgresWriter
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.errors import Unavailable

URL = "postgresql://enforcer@db.test/x"


def test_the_word_or_the_url_tells_which(tmp_path: Path) -> None:
    path = tmp_path / "attempts.sqlite"
    writer = open_writer("sqlite", path, tmp_path / "log")
    reader = open_reader("sqlite", path)
    assert (type(writer), type(reader)) == (SqliteWriter, SqliteIndex)
    reader.close()
    writer.close()
    assert type(open_writer(URL, path, tmp_path / "log")) is PostgresWriter, "which connects later"
    assert type(open_reader(URL, path)) is PostgresIndex


def test_without_psycopg_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "enforcer.attempts.index.postgres", None)
    with pytest.raises(Unavailable, match="psycopg is not installed"):
        open_reader(URL, tmp_path)
    with pytest.raises(Unavailable, match="psycopg is not installed"):
        open_writer(URL, tmp_path, tmp_path)
