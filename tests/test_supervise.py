"""The supervisor with small children of the test's own: each does what a file with its name says."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from enforcer.control import Answer, Request, control_socket
from enforcer.errors import EnforcerError, Malformed, Mistakes, Unavailable
from enforcer.folders import Folders
from enforcer.supervise import STEADY_S, Child, Supervisor

# The words of its file: ready (says so), alive (says so once), exit N, deaf (to SIGTERM), slow (to end).
# Its journal says what happened.
CHILD = """\
import os, signal, socket, sys, time
folder, name = os.path.dirname(sys.argv[0]), sys.argv[1]
signal.alarm(50)

def write(event):
    with open(f"{folder}/journal", "a") as journal:
        print(name, event, os.getpid(), os.environ["ENFORCER_SUPERVISOR"], file=journal)

def end(*_):
    if "slow" in words:
        time.sleep(0.2)
    write("ends")
    os._exit(0)

with open(f"{folder}/{name}") as file:
    words = file.read().split()
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in words else end)
signal.signal(signal.SIGHUP, lambda *_: write("reloads"))
write("starts")
if "ready" in words:
    write("ready")
    where, file = os.path.split(os.environ["NOTIFY_SOCKET"])
    os.chdir(where)  # its path may be too long
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.sendto(b"READY=1", file)
    if "alive" in words:
        told.sendto(b"WATCHDOG=1", file)
if "exit" in words:
    os._exit(int(words[words.index("exit") + 1]))
while True:
    signal.pause()
"""


class Fakes(Supervisor):
    """Starts the script above, which takes the place of the configuration, instead of `enforcer`."""

    def _child(self, kind: str, name: str, config: Path, number: int | None = None) -> Child:
        return Child(kind, name, (sys.executable, "-I", "-S", str(config), name))


class Stage:
    """A supervisor of such children in a folder. was_ready: what had happened when it said that all is ready."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self.folders = Folders(folder / "data")
        self.workers = workers
        self.was_ready: list[str] = []
        (folder / "script").write_text(CHILD)
        (folder / "journal").touch()
        for name in ("hub", *(f"dns-{number}" for number in range(workers))):
            self.let(name, "ready")

    def let(self, name: str, words: str) -> None:
        """What a child does from its next start on."""
        (self.folder / name).write_text(words)

    def journal(self) -> list[tuple[str, int]]:
        """What happened, as in `hub starts`, with the process id."""
        lines = (line.split() for line in (self.folder / "journal").read_text().splitlines())
        return [(f"{name} {event}", int(pid)) for name, event, pid, _ in lines]

    def events(self, event: str = "") -> list[str]:
        return [each for each, _ in self.journal() if each.endswith(event)]

    def pid(self, name: str) -> int:
        """The process id of the newest child of this name."""
        return [pid for event, pid in self.journal() if event == f"{name} starts"][-1]

    def play(
        self, scene: Callable[[], Awaitable[None]] | None = None, steady: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Supervise while a scene is played, then stop with SIGTERM; without a scene, until it stops by itself."""
        self.supervisor = Fakes(
            config=self.folder / "script",
            accepted=self.folder / "script",
            run=self.folders.run,
            control=self.folders.control,
            workers=[("dns", number) for number in range(self.workers)],
            steady=steady,
        )
        running = self.supervisor.run(lambda: self.was_ready.extend(self.events()))
        asyncio.run(running if scene is None else _beside(running, scene))

    async def ready(self) -> None:
        await until(lambda: self.was_ready, "everything is ready")

    async def killed(self, name: str) -> None:
        """Kill a child, and wait until another one has said that it is ready."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.pid(name) != pid and (f"{name} ready", self.pid(name)) in self.journal(), "another")


async def _beside(running: Coroutine[None, None, None], scene: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(running)
        await scene()
        os.kill(os.getpid(), signal.SIGTERM)


async def until(what: Callable[[], object], why: str) -> None:
    """Ask again and again until `what` gives something true."""
    end = asyncio.get_running_loop().time() + 30
    while not what():
        assert asyncio.get_running_loop().time() < end, f"not yet: {why}"
        await asyncio.sleep(0.01)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def hub_alone(tmp_path: Path) -> Stage:
    return Stage(tmp_path, workers=0)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The names in the log lines of one event."""
    lines = [record.getMessage().split() for record in caplog.records]
    return [line[2].removeprefix("name=") for line in lines if line[1] == f"event={event}"]


# Starting


def test_the_hub_is_ready_before_a_worker_starts_and_all_are_before_anybody_is_told(stage: Stage) -> None:
    stage.play(stage.ready)
    assert stage.was_ready[:2] == ["hub starts", "hub ready"]
    assert sorted(stage.was_ready[2:]) == ["dns-0 ready", "dns-0 starts", "dns-1 ready", "dns-1 starts"]


def test_each_child_knows_whom_to_end_with(stage: Stage) -> None:
    stage.play(stage.ready)
    supervisors = {line.split()[-1] for line in (stage.folder / "journal").read_text().splitlines()}
    assert supervisors == {str(os.getpid())}


def test_a_data_folder_with_a_long_path_is_no_obstacle(stage: Stage) -> None:
    stage.folders = Folders(stage.folder / ("d" * 120) / "data")
    stage.play(stage.ready)
    assert len(stage.was_ready) == 6


def test_the_folder_for_sockets_is_made_for_our_own_user_alone(stage: Stage) -> None:
    stage.play(stage.ready)
    assert stage.folders.run.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_said(stage: Stage) -> None:
    (stage.folder / "data").write_text("a file")
    with pytest.raises(Unavailable, match=r"data/run: cannot be made \(Not a directory\)"):
        stage.play()


def test_a_process_that_cannot_be_started_is_said(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    (stage.folders.run / "notify-hub").mkdir(parents=True)
    with pytest.raises(Unavailable, match="hub: it cannot start"):
        stage.play()
    assert logged(caplog, "not_started") == ["hub"]


@pytest.mark.parametrize(("status", "error"), [(2, Mistakes), (1, Unavailable)])
@pytest.mark.parametrize("name", ["hub", "dns-1"])
def test_a_child_that_ends_by_itself_before_it_was_ready_stops_everything(
    stage: Stage, name: str, status: int, error: type[EnforcerError]
) -> None:
    stage.let(name, f"exit {status}")
    with pytest.raises(error, match=f"{name}: it cannot start; its message above says why"):
        stage.play()
    assert stage.was_ready == []
    assert stage.events().count(f"{name} starts") == 1
    if name == "hub":
        assert stage.events("starts") == ["hub starts"]
    else:
        assert stage.events()[-1] == "hub ends"


def test_a_child_that_is_never_ready_is_killed_and_tried_again(
    hub_alone: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.READY_S", 0.2)
    hub_alone.let("hub", "")

    async def scene() -> None:
        await until(lambda: len(logged(caplog, "not_ready")) > 1, "two were killed")

    hub_alone.play(scene)
    assert hub_alone.was_ready == []
    assert logged(caplog, "ended")[:1] == ["hub"]


def test_a_child_that_is_ready_is_left_alone(hub_alone: Stage) -> None:
    async def scene() -> None:
        await hub_alone.ready()
        hub_alone.supervisor._give_up(hub_alone.supervisor._hub)

    hub_alone.play(scene)
    assert hub_alone.events() == ["hub starts", "hub ready", "hub ends"]


def test_the_hub_reads_the_configuration_and_workers_what_the_hub_accepted() -> None:
    supervisor = Supervisor(
        config=Path("my.yaml"),
        accepted=Path("its.yaml"),
        run=Path("run"),
        control=Path("control"),
        workers=[("dns", 0), ("dns", 1)],
        steady=lambda: 0.0,
    )
    python = (sys.executable, "-P", "-m", "enforcer")
    assert [child.command for child in (supervisor._hub, *supervisor._workers)] == [
        (*python, "hub", "--config", "my.yaml"),
        (*python, "dns", "--config", "its.yaml", "--worker", "0"),
        (*python, "dns", "--config", "its.yaml", "--worker", "1"),
    ]


# Keeping alive


def test_a_killed_child_is_replaced_and_the_others_go_on(stage: Stage) -> None:
    async def scene() -> None:
        await stage.ready()
        await stage.killed("dns-0")
        await stage.killed("hub")

    stage.play(scene)
    assert sorted(stage.events("starts")) == sorted(["hub starts", "dns-0 starts"] * 2 + ["dns-1 starts"])


def test_a_child_that_lives_but_says_so_no_more_is_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.SILENT_S", 0.2)
    stage.let("dns-1", "ready alive")
    now = iter(range(1000))

    async def scene() -> None:
        await stage.ready()
        stuck = stage.pid("dns-1")
        await until(lambda: stage.pid("dns-1") != stuck, "another")

    stage.play(scene, steady=lambda: next(now) / 10)
    assert logged(caplog, "stuck")
    assert stage.events("starts").count("dns-0 starts") == 1


def test_the_hub_is_told_of_every_start_and_end_and_a_new_hub_of_everybody(stage: Stage) -> None:
    told: list[Request] = []

    async def tell(request: Request) -> Answer:
        told.append(request)
        return {}

    def last(name: str) -> tuple[object, ...]:
        each = [r for r in told if r["name"] == name][-1]
        return each["kind"], each["pid"], each["restarts"], each["up"]

    async def scene() -> None:
        await until(stage.folders.run.exists, "the folder is there")
        async with control_socket(stage.folders.control, {"worker": tell}):
            await stage.ready()
            await until(lambda: len(told) >= 5, "all are told of")
            await stage.killed("dns-1")
            await until(lambda: last("dns-1") == ("dns", stage.pid("dns-1"), 1, True), "its replacement is told of")
            assert [(r["pid"], r["restarts"], r["up"]) for r in told if r["name"] == "dns-1"][-2] == (None, 1, False)
            told.clear()
            await stage.killed("hub")
            await until(lambda: {r["name"] for r in told if r["up"]} == {"hub", "dns-0", "dns-1"}, "all are told again")
            assert last("hub") == ("hub", stage.pid("hub"), 1, True)
            assert last("dns-1") == ("dns", stage.pid("dns-1"), 1, True)

    stage.play(scene)


def test_a_hub_that_refuses_to_hear_of_processes_is_not_in_the_way(stage: Stage) -> None:
    refused: list[object] = []

    async def refuse(request: Request) -> Answer:
        refused.append(request["name"])
        raise Malformed("what is that")

    async def scene() -> None:
        await until(stage.folders.run.exists, "the folder is there")
        async with control_socket(stage.folders.control, {"worker": refuse}):
            await stage.ready()
            await until(lambda: "dns-1" in refused, "it refused")
            await stage.killed("dns-0")

    stage.play(scene)
    assert stage.events()[-1] == "hub ends"


def test_each_restart_waits_longer_up_to_a_limit_and_a_steady_child_starts_anew(
    hub_alone: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.BACK_OFF_MIN_S", 0.01)
    monkeypatch.setattr("enforcer.supervise.BACK_OFF_MAX_S", 0.05)
    hub_alone.let("hub", "ready exit 0")
    lives = [0.0, 1.0, STEADY_S - 1, 1.0, STEADY_S, 0.0]
    times = [time for number, life in enumerate(lives) for time in (1000.0 * number, 1000.0 * number + life)]
    clock = iter(times)

    def waits() -> list[object]:
        return [r.args[2] for r in caplog.records if isinstance(r.args, tuple) and "restart_in_s" in r.msg]

    async def scene() -> None:
        await until(lambda: len(waits()) >= len(lives), "it ended so often")

    hub_alone.play(scene, lambda: next(clock, 9999.0))
    assert waits()[: len(lives)] == [0.01, 0.02, 0.04, 0.05, 0.01, 0.02]


def test_what_cannot_be_started_again_now_is_tried_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.BACK_OFF_MAX_S", 0.1)
    socket = stage.folders.run / "notify-dns-0"

    async def scene() -> None:
        await stage.ready()
        socket.unlink()
        socket.mkdir()
        pid = stage.pid("dns-0")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: logged(caplog, "not_started").count("dns-0") > 1, "it could not be started")
        socket.rmdir()
        await until(lambda: stage.pid("dns-0") != pid, "it is started")

    stage.play(scene)


def test_a_mistake_after_the_first_start_is_tried_again_until_somebody_mends_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.supervise.BACK_OFF_MAX_S", 0.1)

    async def scene() -> None:
        await stage.ready()
        stage.let("hub", "exit 2")
        os.kill(stage.pid("hub"), signal.SIGKILL)
        await until(lambda: stage.events().count("hub starts") > 2, "it was tried again")
        stage.let("hub", "ready")
        await until(lambda: stage.events().count("hub ready") > 1, "it is mended")

    stage.play(scene)
    assert stage.events().count("dns-0 starts") == 1


# Being told


def test_workers_have_ended_before_the_hub_is_told_to(stage: Stage) -> None:
    stage.let("dns-0", "ready slow")
    stage.play(stage.ready)
    assert sorted(stage.events("ends")) == ["dns-0 ends", "dns-1 ends", "hub ends"]
    assert stage.events()[-1] == "hub ends"


def test_it_stops_before_everything_is_ready(stage: Stage) -> None:
    stage.let("hub", "")

    async def scene() -> None:
        await until(lambda: stage.events("starts"), "the hub starts")

    stage.play(scene)
    assert stage.events() == ["hub starts", "hub ends"]
    assert stage.was_ready == []


def test_it_does_not_wait_for_a_child_that_waits_to_be_started_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.BACK_OFF_MIN_S", 1000.0)

    async def scene() -> None:
        await stage.ready()
        os.kill(stage.pid("dns-0"), signal.SIGKILL)
        await until(lambda: logged(caplog, "ended"), "it has ended")

    stage.play(scene)
    assert stage.events("ends") == ["dns-1 ends", "hub ends"]


def test_children_that_do_not_end_are_killed_together(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enforcer.supervise.STOP_S", 0.3)
    for name in ("hub", "dns-0", "dns-1"):
        stage.let(name, "ready deaf")
    stage.play(stage.ready)
    assert logged(caplog, "killed") == ["dns-0", "dns-1", "hub"]
    assert all(not Path(f"/proc/{pid}").exists() for _, pid in stage.journal())


def test_a_child_that_ended_in_the_same_moment_is_no_error(stage: Stage) -> None:
    async def scene() -> None:
        await stage.ready()
        for name in ("hub", "dns-0", "dns-1"):  # as when a terminal or a service manager ends all of them at once
            os.kill(stage.pid(name), signal.SIGKILL)

    stage.play(scene)
    assert stage.events("ends") == []


def test_a_reload_is_the_hubs(stage: Stage) -> None:
    async def scene() -> None:
        await stage.ready()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: stage.events("reloads"), "somebody reloads")

    stage.play(scene)
    assert stage.events("reloads") == ["hub reloads"]
