from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.console.lab import Lab, make_lab, settings

type Open = Callable[..., Lab]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Makes a console with other settings."""
    labs: list[Lab] = []

    def open_(**console: object) -> Lab:
        folder = tmp_path / str(len(labs))
        folder.mkdir()
        labs.append(make_lab(folder, settings(**console)))
        return labs[-1]

    yield open_
    for lab in labs:
        lab.writer.close()
        lab.log.close()


@pytest.fixture
def lab(opened: Open) -> Lab:
    return opened()


@pytest.fixture
def client(lab: Lab) -> TestClient:
    return lab.client()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One console for all tests that only read."""
    lab = make_lab(tmp_path_factory.mktemp("console"), settings())
    yield lab.client()
    lab.writer.close()
    lab.log.close()
