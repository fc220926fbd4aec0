import csv
import io
import json

import pytest

from enforcer.console import export
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


def test_other_formats_are_refused(lab: Lab) -> None:
    assert send(lab.client(), "/attempts", "/attempts/export", {"format": "xls"}).status_code == 400


def test_auditors_take_the_journal_with_them(lab: Lab) -> None:
    answer = send(lab.client(), "/journal", "/journal/export?event=start&since=all", {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["event"], row["seq"], row["detail"]) for row in rows] == [("start", "1", '{"version": "0.1.0"}')]
    assert lab.events("access")[0]["reason"] == "console: journal as csv, event=start&since=all"
