"""One upstream and one service for all tests that leave each other alone; the others start their own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, laboratory
from tests.e2e.lan import Service, Step, Unbound, free_port
from tests.tools import need


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    """What knows the names under .test."""
    with Unbound(tmp_path_factory.mktemp("upstream") / "unbound") as unbound:
        yield unbound


@pytest.fixture(scope="session")
def service(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that tests share: they use names of their own, and change nothing."""
    with Service(tmp_path_factory.mktemp("service"), upstream.url) as service:
        service.change(**{"resolver.workers": 2})
        yield service.start()


@pytest.fixture
def own(upstream: Unbound, tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, with one worker, not started."""
    with Service(tmp_path / "own", upstream.url) as service:
        yield service


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The whole path, for all tests of it, and each kind of process: started once."""
    folder = tmp_path_factory.mktemp("lab")
    attempts = {"aggregate_s": 0, "sinks": [{"type": "file", "path": str(folder / "shipped" / "attempts.ndjson")}]}
    console = {"listen": f"127.0.0.1:{free_port()}", "auth": "open"}
    with laboratory(folder, attempts=attempts, console=console) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """The same, as if nothing had happened in it."""
    shared_lab.fresh()
    return shared_lab


@pytest.fixture
def clock(tmp_path: Path) -> tuple[dict[str, str], Step]:
    """The environment of processes whose clock can be set, and how: to so many seconds from now."""
    library = subprocess.run(
        [need("faketime"), "-f", "+0s", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    file = tmp_path / "clock"

    def step(seconds: int) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(file)

    step(0)
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }, step


@pytest.fixture
def timed(upstream: Unbound, tmp_path: Path, clock: tuple[dict[str, str], Step]) -> Iterator[Service]:
    with Service(tmp_path / "own", upstream.url, environment=clock[0]) as service:
        yield service
