"""A small site with a configuration, a list, an inventory, a log and an index; and a way to call commands."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.attempts.log import DayLog
from enforcer.cli import main
from enforcer.folders import Folders
from tests.cli.site import CONFIG, DEVICES, ENTRIES, LIST, Run, write_config, write_log
from tests.records import NOON_MS


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's own; and this process keeps what it may do."""
    monkeypatch.setattr("enforcer.processes.confined.keep_out", lambda *_, **__: None)
    monkeypatch.setattr("enforcer.processes.confined.keep_only", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENFORCER_CONFIG", raising=False)
    monkeypatch.setattr("enforcer.cli.context.SYSTEM", tmp_path / "system.yaml")
    monkeypatch.setattr("enforcer.cli.context.DEMO", tmp_path / "demo.yaml")


@pytest.fixture
def run() -> Run:
    """Call `enforcer` with arguments; `stdin` is what it reads."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin, prog_name="enforcer", catch_exceptions=False)

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of an enforcer.yaml with its list and inventory."""
    (tmp_path / "chat.yaml").write_text(LIST)
    (tmp_path / "devices.csv").write_text(DEVICES)
    write_config(tmp_path, CONFIG)
    return tmp_path


@pytest.fixture
def recorded(site: Path) -> Folders:
    """The site's data folder, with a log and its index."""
    folders = Folders(site / "data")
    folders.run.mkdir(parents=True)
    write_log(folders, ENTRIES, NOON_MS + 300_000)
    index = SqliteWriter(folders.index / "attempts.sqlite", folders.log)
    log = DayLog(folders.log)
    index.follow(log.synced, 1000)
    index.close()
    log.close()
    return folders
