"""Which database an index is in: `sqlite`, whose file is at a path, or the URL of a PostgreSQL database."""

from pathlib import Path

from enforcer.attempts.index import Index
from enforcer.attempts.index.follow import IndexWriter
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.errors import Unavailable

SQLITE = "sqlite"


def open_reader(where: str, path: Path) -> Index:
    """The reading end. path: SQLite's main file. Raises Unavailable where there is none."""
    if where == SQLITE:
        return SqliteIndex(path)
    try:
        from enforcer.attempts.index.postgres import PostgresIndex  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise _missing() from error
    return PostgresIndex(where)


def open_writer(where: str, path: Path, log: Path) -> IndexWriter:
    """The writing end, of one process at a time. log: the folder of the day log. Raises Unavailable."""
    if where == SQLITE:
        return SqliteWriter(path, log)
    try:
        from enforcer.attempts.index.postgres import PostgresWriter  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise _missing() from error
    return PostgresWriter(where, log)


def _missing() -> Unavailable:
    return Unavailable('attempts.index: psycopg is not installed; install "enforcer[postgres]", or write sqlite')
