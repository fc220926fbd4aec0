"""The commands that start processes, without the processes: what each is made from, and what is said of failures."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enforcer.config.model import Config
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.notify import listen
from tests.cli.site import CONFIG, Run, write_config


@dataclass
class Started:
    """Stands for what a command starts. made: with what; wrong: what it raises instead of being ready."""

    made: dict[str, object] = field(default_factory=dict)
    wrong: EnforcerError | None = None
    ran: int = 0

    async def run(self, ready: Callable[[], None]) -> None:
        self.ran += 1
        if self.wrong is not None:
            raise self.wrong
        ready()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Whatever is started is this."""
    fake = Started()

    def supervisor(**given: object) -> Started:
        fake.made.update(given)
        return fake

    def worker(config: Config, number: int) -> Started:
        fake.made.update(config=config, number=number)
        return fake

    def hub(path: Path) -> Started:
        fake.made.update(path=path)
        return fake

    def sinks(config: Config) -> Started:
        fake.made.update(config=config)
        return fake

    monkeypatch.setattr("enforcer.supervise.Supervisor", supervisor)
    monkeypatch.setattr("enforcer.processes.dns.dns_worker", worker)
    monkeypatch.setattr("enforcer.processes.hub.make_hub", hub)
    monkeypatch.setattr("enforcer.processes.sinks.Sinks", sinks)
    return fake


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of whoever asked to be told."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listen(tmp_path / "notify") as sock:
        yield sock


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Has an item for each process that asked to end with its supervisor."""
    calls: list[bool] = []
    monkeypatch.setattr("enforcer.cli.run.end_with_supervisor", lambda: calls.append(True))
    return calls


def test_run_supervises_the_configured_number_of_workers_and_says_when_all_is_ready(
    run: Run, site: Path, started: Started, told: socket.socket
) -> None:
    resolver = {**CONFIG["resolver"], "workers": 3}  # type: ignore[dict-item]
    write_config(site, {**CONFIG, "resolver": resolver})
    result = run("run", "--config", str(site / "enforcer.yaml"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert told.recv(4096) == b"READY=1"
    steady = started.made.pop("steady")
    assert callable(steady)
    assert steady() <= steady()
    assert started.made == {
        "config": site / "enforcer.yaml",
        "accepted": site / "data/run/enforcer.yaml",
        "run": site / "data/run",
        "control": site / "data/run/control.sock",
        "workers": (("dns", 0), ("dns", 1), ("dns", 2)),
    }


def test_run_has_a_worker_for_each_cpu_unless_told_otherwise(run: Run, site: Path, started: Started) -> None:
    run("run")
    assert started.made["workers"] == tuple(("dns", number) for number in range(len(os.sched_getaffinity(0))))


def test_run_does_not_end_with_a_supervisor_of_its_own(
    run: Run, site: Path, started: Started, ended: list[bool]
) -> None:
    run("run")
    assert ended == []


def test_the_demo_is_made_here_and_says_what_to_type(
    run: Run, tmp_path: Path, started: Started, told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = tmp_path / "enforcer-demo" / "enforcer.yaml"
    monkeypatch.setattr("enforcer.cli.context.DEMO", demo)
    result = run("run", "--demo")
    assert result.exit_code == 0
    assert started.made["config"] == demo
    assert "dig @127.0.0.1 -p 5300 long.weixin.qq.com " in result.stdout
    assert "curl http://127.0.0.1:9310/metrics " in result.stdout
    assert "curl -x http://127.0.0.1:5080 http://long.weixin.qq.com " in result.stdout
    assert f"The configuration is {demo}" in result.stdout
    assert told.recv(4096) == b"READY=1"


def test_a_demo_that_was_changed_is_left_as_it_is(
    run: Run, tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = tmp_path / "enforcer-demo" / "enforcer.yaml"
    monkeypatch.setattr("enforcer.cli.context.DEMO", demo)
    run("run", "--demo")
    demo.write_text(demo.read_text().replace("5300", "5399"))
    assert "dig @127.0.0.1 -p 5399 " in run("run", "--demo").stdout


def test_dns_runs_the_worker_of_its_number(
    run: Run, site: Path, started: Started, told: socket.socket, ended: list[bool]
) -> None:
    result = run("dns", "--worker", "7")
    assert (result.exit_code, result.stdout) == (0, "")
    assert started.made["number"] == 7
    assert isinstance(started.made["config"], Config)
    assert (told.recv(4096), ended) == (b"READY=1", [True])


def test_dns_alone_is_worker_0(run: Run, site: Path, started: Started) -> None:
    run("dns")
    assert started.made["number"] == 0


@pytest.mark.parametrize("number", ["-1", "64", "first"])
def test_a_number_that_no_worker_has_is_wrong_use(run: Run, site: Path, started: Started, number: str) -> None:
    assert run("dns", "--worker", number).exit_code == 2
    assert started.ran == 0


def test_hub_runs_the_hub_of_the_configuration_that_is_found(
    run: Run, site: Path, started: Started, told: socket.socket, ended: list[bool]
) -> None:
    result = run("hub")
    assert (result.exit_code, result.stdout) == (0, "")
    assert started.made == {"path": Path("enforcer.yaml")}
    assert (told.recv(4096), ended) == (b"READY=1", [True])


def test_sinks_feeds_those_of_the_configuration(
    run: Run, site: Path, started: Started, told: socket.socket, ended: list[bool]
) -> None:
    result = run("sinks")
    assert (result.exit_code, result.stdout) == (0, "")
    assert isinstance(started.made["config"], Config)
    assert (told.recv(4096), ended) == (b"READY=1", [True])


@pytest.mark.parametrize("command", ["run", "dns", "hub", "sinks"])
@pytest.mark.parametrize(
    ("wrong", "status"), [(Unavailable("no room"), 1), (Mistakes([Mistake("chat.yaml", 3, "no room")]), 2)]
)
@pytest.mark.usefixtures("site")
def test_what_goes_wrong_is_printed_and_wrong_use_has_its_own_status(
    run: Run, started: Started, command: str, wrong: EnforcerError, status: int
) -> None:
    started.wrong = wrong
    result = run(command)
    assert (result.exit_code, result.stderr) == (status, f"{wrong}\n")


@pytest.mark.parametrize("command", ["run", "dns", "hub"])
def test_a_configuration_with_mistakes_starts_nothing(run: Run, site: Path, started: Started, command: str) -> None:
    write_config(site, {**CONFIG, "nodes": 3})
    result = run(command)
    assert result.exit_code == 2
    assert "nodes" in result.stderr
    assert started.ran == 0


@pytest.mark.parametrize("command", ["run", "dns", "hub"])
def test_without_a_configuration_one_is_asked_for(run: Run, started: Started, command: str) -> None:
    result = run(command)
    assert result.exit_code == 2
    assert "name one with --config" in result.stderr


def test_a_process_logs_what_it_does_and_of_libraries_only_what_is_wrong() -> None:
    code = (
        "import logging; from enforcer.cli.run import log_to_stderr; log_to_stderr();"
        "[logging.getLogger(name).info('hello') or logging.getLogger(name).warning('trouble')"
        " for name in ('enforcer.hub', 'httpx')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines() == [
        "INFO enforcer.hub hello",
        "WARNING enforcer.hub trouble",
        "WARNING httpx trouble",
    ]
