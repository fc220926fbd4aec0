"""What is asked of the hub, over its real socket; and what is said without it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.control import Answer, Operation, Request, control_socket
from enforcer.counters import Counters, word
from enforcer.errors import Mistake, Mistakes
from enforcer.folders import Folders
from enforcer.orders import Orders, Pause, encode_orders
from tests.cli.site import Run
from tests.records import NOON_MS, moment

STATUS: Answer = {
    "version": "0.1.0",
    "node": "gw-1",
    "uptime_s": 3725,
    "ruleset": "0123456789ab",
    "generation": 3,
    "loaded": "2026-11-23T12:00:00.123456+00:00",
    "workers": {"dns-0": {"generation": 3, "heartbeat_ms": NOON_MS, "alive": True}},
    "processes": {
        "hub": {"kind": "hub", "pid": 41, "restarts": 0, "up": True},
        "dns-0": {"kind": "dns", "pid": 42, "restarts": 1, "up": False},
    },
    "spool": {"dns-0": {"bytes": 4096, "oldest_s": 2}},
    "log_sequence": 1234,
    "index_lag": 5,
    "pauses": [{"realm": "lab", "until": "2026-11-23T12:30:00+00:00"}],
    "problems": ["the last reload was refused: chat.yaml:3: wrong\nchat.yaml:4: \x1b[2J"],
}


class Hub:
    """A control socket with canned answers. asked: every request so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer | Mistakes] = {"status": STATUS}
        self.asked: list[Request] = []

    def operation(self, name: str) -> Operation:
        async def operation(request: Request) -> Answer:
            self.asked.append(request)
            answer = self.answers[name]
            if isinstance(answer, Mistakes):
                raise answer
            return answer

        return operation

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        names = ("status", "reload", "pause", "resume")
        async with control_socket(self.path, {name: self.operation(name) for name in names}):
            ready.set()
            await stop.wait()


@pytest.fixture
def hub(site: Path) -> Iterator[Hub]:
    """A hub that answers while the test runs."""
    folders = Folders(site / "data")
    folders.run.mkdir(parents=True)
    hub, ready, stop = Hub(folders.control), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(hub.serve(ready, stop)))
    thread.start()
    assert ready.wait(10)
    yield hub
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_status_tells_what_is_in_force_and_how_each_process_is(run: Run, hub: Hub) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "node      gw-1, Enforcer 0.1.0",
        "up for    1:02:05",
        "policy    0123456789ab, generation 3",
        "loaded    2026-11-23T12:00:00Z",
        "log       line number 1234, the index is 5 behind",
        "paused    lab until 2026-11-23T12:30:00Z",
        "problems  the last reload was refused: chat.yaml:3: wrong",
        "          chat.yaml:4: \\u001b[2J",
        "",
        "process  pid  up   restarts  generation  heartbeat             spool bytes",
        "dns-0     42  no          1           3  2026-11-23T12:00:00Z         4096",
        "hub       41  yes         0           -  -                               -",
    ]


def test_status_as_json_is_the_hubs_answer(run: Run, hub: Hub) -> None:
    assert json.loads(run("status", "--json").stdout) == {"hub": True, **STATUS}


def test_a_quiet_hub_has_no_problems(run: Run, hub: Hub) -> None:
    hub.answers["status"] = {**STATUS, "problems": [], "pauses": []}
    text = run("status").stdout
    assert "problems  none known\n" in text
    assert "paused    no realm\n" in text


def test_without_a_hub_status_reads_the_files_and_fails(run: Run, site: Path) -> None:
    folders = Folders(site / "data")
    folders.run.mkdir(parents=True)
    pause = Pause("lab", moment(NOON_MS + 1_800_000))
    folders.orders.write_bytes(encode_orders(Orders(7, "0123456789abcdef", (pause,))))
    counters = Counters(folders.counters / "dns-0")
    counters.words[word("worker_generation")] = 7
    counters.words[word("worker_heartbeat_milliseconds")] = NOON_MS
    counters.close()
    result = run("status")
    assert result.exit_code == 1
    assert "The hub does not answer; workers go on with their last orders" in result.stderr
    assert "policy    0123456789ab, generation 7\n" in result.stdout
    assert "paused    lab until 2026-11-23T12:30:00Z\n" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["dns-0", "-", "-", "-", "7", "2026-11-23T12:00:00Z", "-"]
    answer = json.loads(run("status", "--json").stdout)
    assert answer["hub"] is False
    assert answer["generation"] == 7


def test_before_the_first_start_status_says_that_nothing_is_in_force(run: Run, site: Path) -> None:
    result = run("status")
    assert "nothing was in force yet" in result.stdout
    assert result.exit_code == 1


def test_reload_tells_the_old_and_the_new_policy_and_what_needs_a_restart(run: Run, hub: Hub) -> None:
    hub.answers["reload"] = {"old": "0123456789ab", "ruleset": "ba9876543210", "restart": ["resolver.workers"]}
    result = run("reload")
    assert result.stdout == (
        "Reloaded: the policy was 0123456789ab, and is ba9876543210\n"
        "resolver.workers has changed, which needs a restart\n"
    )
    assert result.exit_code == 0
    assert hub.asked[0]["op"] == "reload"


def test_reload_of_the_same_says_so(run: Run, hub: Hub) -> None:
    hub.answers["reload"] = {"old": "0123456789ab", "ruleset": "0123456789ab", "restart": []}
    assert run("reload").stdout == "Reloaded: the policy is 0123456789ab as before\n"
    assert json.loads(run("reload", "--json").stdout) == hub.answers["reload"]


def test_a_refused_reload_prints_every_mistake(run: Run, hub: Hub) -> None:
    hub.answers["reload"] = Mistakes([Mistake("chat.yaml", 3, "wrong"), Mistake("chat.yaml", 9, "wrong too")])
    result = run("reload")
    assert (result.stderr, result.exit_code) == ("chat.yaml:3: wrong\nchat.yaml:9: wrong too\n", 1)


def test_pause_names_realm_minutes_reason_and_who(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "pat")
    hub.answers["pause"] = {"until": "2026-11-23T12:30:00+00:00"}
    result = run("pause", "--realm", "lab", "--minutes", "30", "--reason", "ticket 4711")
    assert result.stdout == "lab is observed, not blocked, until 2026-11-23T12:30:00Z\n"
    assert hub.asked == [{"op": "pause", "realm": "lab", "minutes": 30, "reason": "ticket 4711", "who": "pat"}]


@pytest.mark.parametrize("minutes", ["0", "1441", "soon"])
def test_a_pause_has_an_end(run: Run, site: Path, minutes: str) -> None:
    assert run("pause", "--realm", "lab", "--minutes", minutes, "--reason", "x").exit_code == 2


def test_a_pause_needs_a_reason(run: Run, site: Path) -> None:
    assert run("pause", "--realm", "lab", "--minutes", "5").exit_code == 2


def test_resume_says_that_the_realm_is_enforced(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("enforcer.cli.asking.getpass.getuser", nameless)
    hub.answers["resume"] = {}
    assert run("resume", "--realm", "lab").stdout == "lab is enforced again\n"
    assert str(hub.asked[0]["who"]).startswith("user ")


@pytest.mark.parametrize(
    "arguments",
    [("reload",), ("pause", "--realm", "lab", "--minutes", "5", "--reason", "x"), ("resume", "--realm", "lab")],
)
def test_without_a_hub_commands_say_so(run: Run, site: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert "the hub does not answer" in result.stderr
    assert result.exit_code == 1
