import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.policy.verdict import Layer
from tests.cli.recorded import Indexed, answering
from tests.cli.site import ENTRIES, Run, attempt


@pytest.fixture
def desk(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Indexed]:
    monkeypatch.setenv("SUDO_USER", "alice")
    with answering(site) as desk:
        desk.show(*ENTRIES, attempt(30, layer=Layer.TLS, evidence="app"))
        yield desk


def rows(run: Run, *arguments: str) -> list[list[str]]:
    return [line.split() for line in run("incidents", "list", *arguments).stdout.splitlines()[1:]]


def test_list_has_a_row_for_each_device_and_service(run: Run, desk: Indexed) -> None:
    assert rows(run) == [
        ["2026-11-23T12:30:00Z", "dev-1", "chat", "app", "43", "1", "0", "2026-11-23T12:01:00Z", "open"],
        ["2026-11-23T12:04:00Z", "lab/10.20.0.99", "chat", "app", "1", "0", "0", "2026-11-23T12:04:00Z", "open"],
        ["2026-11-23T12:03:00Z", "dev-2", "talk", "app", "1", "0", "0", "2026-11-23T12:03:00Z", "open"],
    ]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--service", "talk"), ["dev-2"]),
        (("--device", "dev-1"), ["dev-1"]),
        (("--group", "team"), ["dev-1", "dev-2"]),
        (("--evidence", "web"), []),
        (("--since", "2026-11-23T12:04Z"), ["dev-1", "lab/10.20.0.99"]),
        (("--state", "closed"), []),
        (("--limit", "1"), ["dev-1"]),
    ],
)
def test_options_narrow(run: Run, desk: Indexed, arguments: tuple[str, ...], found: list[str]) -> None:
    assert [row[1] for row in rows(run, *arguments)] == found


def test_a_mark_is_written_into_the_log_and_shown(run: Run, desk: Indexed) -> None:
    desk.now_ms += 3_600_000
    arguments = ("--state", "explained", "--note", "a share button", "dev-1", "chat")
    assert run("incidents", "mark", *arguments).stdout == "Marked as explained: dev-1, chat\n"
    desk.follow()
    shown = run("incidents", "show", "dev-1", "chat").stdout
    facts = dict(line.split("  ", 1) for line in shown.splitlines())
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    assert facts["attempts"] == "43 in 3 records"
    assert facts["by layer"] == "dns 42, tls 1"
    assert facts["direct connections"] == "1"
    assert (facts["state"], facts["note"], facts["seen since"]) == ("explained", "a share button", "no")
    assert facts["said by"].startswith("alice, 2026-11-23T13:00:00Z, line number ")
    desk.show(attempt(90))
    assert rows(run, "--state", "explained")[0][-3:] == ["explained,", "seen", "since"]
    (told,) = (
        json.loads(line) for line in run("incidents", "list", "--json", "--state", "explained").stdout.splitlines()
    )
    assert (told["device"], told["state"], told["seen_since_mark"], told["layers"]) == (
        "dev-1",
        "explained",
        True,
        {"dns": 43, "tls": 1},
    )


def test_an_address_without_a_device_can_be_shown_and_marked(run: Run, desk: Indexed) -> None:
    who = "lab/10.20.0.99"
    assert json.loads(run("incidents", "show", "--json", who, "chat").stdout)["client_ip"] == "10.20.0.99"
    assert run("incidents", "mark", "--state", "closed", "--note", "n", who, "chat").exit_code == 0
    (event,) = desk.events("mark")
    assert (event["device"], event["realm"], event["client_ip"]) == (None, "lab", "10.20.0.99")


def test_what_is_no_incident_is_told(run: Run, desk: Indexed) -> None:
    result = run("incidents", "show", "dev-9", "chat")
    assert '"dev-9" has no attempt at "chat" in the index' in result.stderr
    assert result.exit_code == 1
    assert "is neither a device nor REALM/ADDRESS" in run("incidents", "show", "lab/x", "chat").stderr
