"""A site whose index is in each database in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.index.postgres import PostgresWriter
from enforcer.attempts.index.sqlite import SqliteWriter
from tests.attempts.index.site import Open, Site, Writer
from tests.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def database(server: Postgres) -> str:
    """The URL of an empty one."""
    return server.create("index")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def opened(request: pytest.FixtureRequest) -> Open[Writer]:
    if request.param == "sqlite":
        return SqliteWriter
    url = request.getfixturevalue("database")
    return lambda _, log: PostgresWriter(url, log)


@pytest.fixture
def site(tmp_path: Path, opened: Open[Writer]) -> Iterator[Site[Writer]]:
    site = Site(tmp_path, opened)
    yield site
    site.close()
