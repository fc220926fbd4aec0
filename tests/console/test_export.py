import csv
import io
import json

import pytest

from enforcer.console import export
from tests.console.conftest import Open
from tests.console.lab import Lab, attempt
from tests.console.signing import send


def test_what_is_on_the_screen_as_csv(lab: Lab) -> None:
    client = lab.client()
    answer = send(client, "/attempts", "/attempts/export?service=chat&layer=tls&lang=fr", {"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="enforcer-attempts-20261123T121000Z.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["layer"], row["count"], row["device"]) for row in rows] == [("tls", "41", "dev-1")]
    assert json.loads(rows[0]["identity"])["source"] == "radius"


def test_the_same_as_json_lines_is_the_record(lab: Lab) -> None:
    answer = send(lab.client(), "/attempts", "/attempts/export?since=all", {"format": "json"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["seq"] for row in rows] == [5, 4, 3, 2]
    assert all(row["v"] == 1 and len(row["prev"]) == 64 for row in rows)


def test_each_export_is_in_the_chain_before_it_begins(lab: Lab) -> None:
    send(lab.client(), "/attempts", "/attempts/export?service=chat", {"format": "csv"})
    assert lab.events("access") == [
        {
            "look": "export",
            "who": "local",
            "reason": "console: attempts as csv, service=chat",
            "device": None,
            "since": "2026-11-16T12:10:00.000Z",
            "until": None,
            "records": None,
        }
    ]


def test_without_the_chain_there_is_no_export(lab: Lab) -> None:
    client = lab.client()
    page = client.get("/attempts")
    assert page.status_code == 200
    lab.away = True
    assert send(client, "/attempts", "/attempts/export", {"format": "csv"}).status_code == 503


def test_incidents_with_what_reviewers_say(lab: Lab) -> None:
    client = lab.client()
    page = "/incidents/device/dev-1/chat"
    send(client, page, page, {"state": "explained", "note": "a test phone"})
    answer = send(client, "/incidents", "/incidents/export?since=all", {"format": "csv"})
    rows = {(row["device"], row["service"]): row for row in csv.DictReader(io.StringIO(answer.text))}
    assert rows["dev-1", "chat"]["attempts"] == "42"
    assert rows["dev-1", "chat"]["state"] == "explained"
    assert rows["dev-1", "chat"]["note"] == "a test phone"
    assert rows["dev-2", "talk"]["state"] == "open"


@pytest.mark.parametrize("name", ["=cmd", "+1", "-1", "@sum"])
def test_no_cell_is_a_formula(lab: Lab, name: str) -> None:
    lab.write(attempt(5, name=name))
    answer = send(lab.client(), "/attempts", "/attempts/export", {"format": "csv"})
    assert next(csv.DictReader(io.StringIO(answer.text)))["name"] == f"'{name}"


def test_long_files_are_read_page_by_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_BATCH", 3)
    lab.write(*(attempt(10 + number) for number in range(10)))
    answer = send(lab.client(), "/attempts", "/attempts/export?since=all", {"format": "json"})
    assert [json.loads(line)["seq"] for line in answer.text.splitlines()] == list(range(15, 1, -1))
    assert send(lab.client(), "/incidents", "/incidents/export?since=all", {"format": "json"}).text.count("\n") == 3


def rows_of(lab: Lab, page: str, path: str) -> list[dict[str, str]]:
    """What a page's export has as CSV, each row without what it does not have."""
    answer = send(lab.client(), page, path, {"format": "csv"})
    assert answer.status_code == 200
    return [{key: value for key, value in row.items() if value} for row in csv.DictReader(io.StringIO(answer.text))]


def test_the_tables_of_the_overview(lab: Lab) -> None:
    rows = rows_of(lab, "/", "/overview/export?since=24h")
    time = [row for row in rows if row["table"] == "time"]
    assert len(time) == 2 * 24
    assert {"table": "time", "from": "2026-11-23T12:00:00+00:00", "service": "chat", "attempts": "43"} in time
    assert [row for row in rows if row["table"] == "services"] == [
        {"table": "services", "service": "chat", "attempts": "43"},
        {"table": "services", "service": "talk", "attempts": "1"},
    ]
    assert {"table": "layers", "layer": "tls", "attempts": "41"} in rows
    assert {"table": "hours", "weekday": "1", "hour": "12", "attempts": "44"} in rows
    assert {"table": "devices", "device": "dev-1", "attempts": "42"} in rows
    assert [row["device"] for row in rows if row["table"] == "incidents" and "device" in row] == ["dev-2", "dev-1"]
    reason = lab.events("access")[0]["reason"]
    assert reason == "console: overview as csv, since=24h"


def test_the_tables_of_a_device(lab: Lab) -> None:
    rows = rows_of(lab, "/devices/dev-1", "/devices/dev-1/export")
    assert [row["table"] for row in rows] == ["sessions", "incidents", "sources", "layers", "layers", *["attempts"] * 2]
    assert rows[0]["addresses"] == "10.20.0.5/32"
    assert rows[2] == {"table": "sources", "identity": "radius", "attempts": "42"}
    assert rows[-1]["name"] == "a.chat.test"
    assert lab.events("access")[0]["device"] == "dev-1"
    assert send(lab.client(), "/", "/devices/dev-9/export", {"format": "csv"}).status_code == 404


def test_the_tables_of_the_policy_and_the_rules_of_a_list(lab: Lab) -> None:
    lists, exemptions = rows_of(lab, "/policy", "/policy/export")
    assert (lists["table"], lists["title_fr"], lists["rules"]) == ("lists", "Clavardage", "6")
    assert (exemptions["group"], exemptions["days_left"]) == ("laboratory", "128")
    rules = rows_of(lab, "/policy/lists/chat", "/policy/lists/chat/export?find=messaging")
    assert [row["kind"] for row in rules] == ["suffix", "http_path", "cidr", "cidr", "suffix"]
    assert rules[2]["ports"] == "udp/853"
    assert rules[-1]["why"] == "the department's own mail"
    assert len(lab.events("access")) == 2
    assert send(lab.client(), "/", "/policy/lists/none/export", {"format": "csv"}).status_code == 404


@pytest.mark.parametrize("path", ["/overview", "/devices/dev-1", "/policy", "/policy/lists/chat", "/attempts"])
def test_every_export_needs_the_right_and_a_form_of_ours(opened: Open, path: str) -> None:
    lab = opened(open_roles=["operator"])
    assert send(lab.client(), "/health", f"{path}/export", {"format": "csv"}).status_code == 403
    other = opened()
    assert other.client().post(f"{path}/export", data={"format": "csv"}).status_code == 403
    assert lab.events("access") == other.events("access") == []


def test_other_formats_are_refused(lab: Lab) -> None:
    assert send(lab.client(), "/attempts", "/attempts/export", {"format": "xls"}).status_code == 400


def test_auditors_take_the_journal_with_them(lab: Lab) -> None:
    answer = send(lab.client(), "/journal", "/journal/export?event=start&since=all", {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["event"], row["seq"], row["detail"]) for row in rows] == [("start", "1", '{"version": "0.1.0"}')]
    assert lab.events("access")[0]["reason"] == "console: journal as csv, event=start&since=all"
