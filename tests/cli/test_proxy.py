from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.model import Config
from tests.cli.site import CONFIG, Run, write_config


class Started:
    """Stands for the worker."""

    def __init__(self) -> None:
        self.made: list[tuple[tuple[str, ...], int]] = []

    def worker(self, config: Config, number: int) -> "Started":
        self.made.append((config.proxy.modes, number))
        return self

    async def run(self, ready: Callable[[], None]) -> None:
        ready()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    fake = Started()
    monkeypatch.setattr("enforcer.processes.proxy.proxy_worker", fake.worker)
    monkeypatch.setattr("enforcer.cli.run.end_with_supervisor", lambda: None)
    return fake


def test_it_runs_the_worker_of_its_number(run: Run, site: Path, started: Started) -> None:
    write_config(site, {**CONFIG, "proxy": {"modes": ["regular@127.0.0.1:5080"]}})
    assert run("proxy", "--worker", "3").exit_code == 0
    assert started.made == [(("regular@127.0.0.1:5080",), 3)]


def test_without_a_mode_there_is_nothing_to_do(run: Run, site: Path, started: Started) -> None:
    result = run("proxy")
    assert result.exit_code == 1
    assert "proxy.modes is empty" in result.stderr
    assert started.made == []


def test_it_says_where_the_addon_is(run: Run, site: Path) -> None:
    script = Path(run("proxy", "--script").stdout.strip())
    assert "addons = [" in script.read_text()
