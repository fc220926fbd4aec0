import pytest
from starlette.testclient import TestClient

from enforcer.console.pages.health import Health
from tests.console.lab import STATUS, Lab
from tests.console.signing import send


def test_everything_is_on_the_page(shared: TestClient) -> None:
    page = shared.get("/health").text
    for text in (
        "1 problem",
        "dns-1: no heartbeat",
        "5.0\u00a0MB",
        "siem",
        "12 lines",
        "dns-roam",
        "RADIUS accounting",
        "never",
        "5 days",
    ):
        assert text in page, text


def test_processes_are_what_supervisor_and_workers_say() -> None:
    processes = {each.name: each for each in Health(STATUS, (), None).processes}
    assert (processes["dns-0"].up, processes["dns-0"].restarts, processes["dns-0"].generation) == (True, 1, 3)
    assert processes["dns-1"].up is False
    stuck = {"processes": {"dns-0": {"up": True}}, "workers": {"dns-0": {"alive": False}}}
    assert Health(stuck, (), None).processes[0].up is False
    assert Health({"processes": {"hub": {}}}, (), None).processes[0].up is None


@pytest.mark.parametrize("status", [{}, {"problems": 7, "spool": [], "processes": "x", "log_sequence": True}])
def test_whatever_the_hub_says_is_read(status: dict[str, object]) -> None:
    health = Health(status, (), None)
    assert (health.problems, health.processes, health.spool(), health.number("log_sequence")) == ([], [], [], None)
    assert health.value("x") is None


def test_without_the_hub_the_page_says_that_blocking_goes_on(lab: Lab) -> None:
    lab.away = True
    page = lab.client().get("/health").text
    assert "workers go on blocking with their last orders" in page


def test_operators_reload_and_pause_by_their_name(lab: Lab) -> None:
    client = lab.client()
    assert send(client, "/health", "/health/reload", {}).headers["location"] == "/health?done=reload"
    pause = {"realm": "lab", "minutes": "15", "reason": "an emergency"}
    assert send(client, "/health", "/health/pause", pause).headers["location"] == "/health?done=pause"
    assert send(client, "/health", "/health/resume", {"realm": "lab"}).headers["location"] == "/health?done=resume"
    asked = [each for each in lab.asked if each["op"] in {"reload", "pause", "resume"}]
    assert asked == [
        {"op": "reload", "who": "local"},
        {"op": "pause", "realm": "lab", "minutes": 15, "reason": "an emergency", "who": "local"},
        {"op": "resume", "realm": "lab", "who": "local"},
    ]
    assert "were reloaded" in client.get("/health?done=reload").text
    assert send(client, "/health", "/health/pause", {**pause, "reason": " "}).status_code == 400
