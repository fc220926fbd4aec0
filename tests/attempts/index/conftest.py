"""A site whose index is in each database in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.index.sqlite import SqliteWriter
from tests.attempts.index.site import Open, Site

OPENERS: dict[str, Open] = {"sqlite": SqliteWriter}


@pytest.fixture(params=["sqlite"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = Site(tmp_path, OPENERS[request.param])
    yield site
    site.close()
