"""`enforcer devices`."""

import json
from pathlib import Path

import pytest

from enforcer.folders import Folders
from tests.cli.canned import answering
from tests.cli.site import CONFIG, Run, write_config


def test_devices_and_networks_of_groups_are_listed_with_their_addresses(run: Run, site: Path) -> None:
    rows = [line.split() for line in run("devices", "list").stdout.splitlines()]
    assert rows == [
        ["device", "group", "realm", "addresses", "known", "by"],
        ["dev-1", "field", "lab", "10.20.0.5", "2001:db8:20::/64"],
        ["dev-2", "laboratory", "lab", "10.20.0.6"],
        ["-", "visitors", "lab", "10.20.9.0/24"],
    ]


def test_the_list_as_json_is_one_object_a_line(run: Run, site: Path) -> None:
    first = json.loads(run("devices", "list", "--json").stdout.splitlines()[0])
    addresses = ["10.20.0.5", "2001:db8:20::/64"]
    assert first == {"device": "dev-1", "group": "field", "realm": "lab", "addresses": addresses, "known_by": []}


def test_without_an_inventory_the_list_is_empty(run: Run, site: Path) -> None:
    write_config(site, {key: value for key, value in CONFIG.items() if key != "identity"})
    assert run("devices", "list", "--json").stdout == ""


def test_a_device_is_shown_with_its_last_attempts(run: Run, recorded: Folders) -> None:
    result = run("devices", "show", "dev-1", "--limit", "1")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:2] == [["device", "dev-1"], ["group", "field"]]
    assert lines[3] == ["in", "lab", "10.20.0.5"]
    assert len(lines) == 8
    assert lines[-1][:2] == ["2026-11-23T12:02:00Z", "dev-1"]


def test_a_device_as_json_has_its_records(run: Run, recorded: Folders) -> None:
    answer = json.loads(run("devices", "show", "dev-1", "--json").stdout)
    assert answer["addresses"] == {"lab": ["10.20.0.5", "2001:db8:20::/64"]}
    assert [record["count"] for record in answer["attempts"]] == [41, 1]


def test_without_an_index_the_device_is_still_shown(run: Run, site: Path) -> None:
    result = run("devices", "show", "dev-2")
    assert result.stdout.endswith("There is no index of attempts yet\n")
    assert result.exit_code == 0
    assert json.loads(run("devices", "show", "dev-2", "--json").stdout)["attempts"] is None


def test_a_device_that_is_not_in_the_inventory_is_told(run: Run, site: Path) -> None:
    result = run("devices", "show", "dev-9")
    assert result.stderr.startswith('"dev-9" is not in the inventory; ')
    assert result.exit_code == 1


EXPORT = """\
DeviceId,DeviceName,IMEI,SerialNumber,PhoneNumber,WifiMacAddress,Ownership,PrimaryUser,Department
dev-a,Anne's phone,001015012345671,C39XX0001,+16135550123,0010A42319C0,Corporate,anne@dept.example,Field Ops
dev-b,Bob's phone,3.5E+14,C39XX0002,,,Corporate,bob@dept.example,HQ
"""


def test_an_export_is_imported_without_what_nobody_needs(run: Run, site: Path) -> None:
    (site / "intune.csv").write_text(EXPORT)
    result = run("devices", "import", "intune.csv")
    assert result.exit_code == 1
    assert result.stderr == (
        "left out: intune.csv:3: its imei cannot be right; write 15 digits, in a cell formatted as text\n"
    )
    assert result.stdout == f"1 device with 3 identifiers written to {site}/devices.csv\n"
    assert (site / "devices.csv").read_text() == (
        "id,group,imei,imsi,msisdn,mac,token,certificate,wireguard,edns\n"
        "dev-a,Field-Ops,00101501234567,,+16135550123,0010a42319c0,,,,\n"
    )
    assert (site / "devices.csv").stat().st_mode & 0o077 == 0
    rows = [line.split() for line in run("devices", "list").stdout.splitlines()]
    assert rows[1] == ["dev-a", "Field-Ops", "-", "imei", "mac", "msisdn"]


def test_an_import_can_be_tried_and_go_elsewhere(run: Run, site: Path) -> None:
    (site / "intune.csv").write_text("".join(EXPORT.splitlines(keepends=True)[:2]))
    before = (site / "devices.csv").read_text()
    answer = run("devices", "import", "--dry-run", "--json", "intune.csv")
    assert json.loads(answer.stdout) == {"devices": 1, "identifiers": 3, "rejected": []}
    assert answer.exit_code == 0
    assert (site / "devices.csv").read_text() == before
    run("devices", "import", "--to", "other.csv", "intune.csv")
    assert (site / "other.csv").exists()
    write_config(site, {key: value for key, value in CONFIG.items() if key != "identity"})
    assert run("devices", "import", "intune.csv").exit_code == 2


SESSION = {
    "device": "dev-1",
    "group": "field",
    "realm": "lab",
    "addresses": ["10.20.0.5/32", "2001:db8:20::/64"],
    "since_ms": 1_795_435_200_000,
    "last_ms": 1_795_435_260_000,
    "state": "open",
    "source": "radius",
}


def test_who_is_connected_is_listed(run: Run, site: Path) -> None:
    with answering(site / "data", {"sessions": {"sessions": [SESSION], "more": True}}) as asked:
        result = run("devices", "sessions", "--device", "dev-1")
        objects = run("devices", "sessions", "--json").stdout
    assert asked == [{"op": "sessions", "device": "dev-1"}, {"op": "sessions"}]
    assert result.stdout.splitlines()[1].split() == [
        *("dev-1", "field", "lab", "10.20.0.5", "2001:db8:20::/64", "radius", "open"),
        *("2026-11-23T12:00:00Z", "2026-11-23T12:01:00Z"),
    ]
    assert result.stderr == "There are more than these 1\n"
    assert json.loads(objects) == SESSION


def test_who_is_silent_is_listed_and_when_nothing_tells_that_is_said(run: Run, site: Path) -> None:
    silent = [{"device": "dev-1", "group": None, "last_ms": None}]
    with answering(site / "data", {"silent": {"silent": silent, "sources": False}}) as asked:
        result = run("devices", "silent", "--days", "30")
        objects = run("devices", "silent", "--json").stdout
    assert asked[0] == {"op": "silent", "days": 30}
    assert result.stdout.splitlines()[1].split() == ["dev-1", "-", "-"]
    assert result.stderr.startswith("Nothing tells who is connected")
    assert json.loads(objects) == silent[0]


def test_what_a_device_is_known_by_is_told_for_a_reason(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anne")
    answer = {"id": "dev-1", "identifiers": {"imei": ["00101501234567"], "imsi": ["001010123456789"]}}
    with answering(site / "data", {"reveal": answer}) as asked:
        result = run("devices", "reveal", "dev-1", "--reason", "ticket 4711")
        objects = run("devices", "reveal", "dev-1", "--reason", "ticket 4711", "--json").stdout
    assert asked[0] == {"op": "reveal", "id": "dev-1", "who": "anne", "reason": "ticket 4711"}
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["id", "dev-1"],
        ["imei", "00101501234567"],
        ["imsi", "001010123456789"],
    ]
    assert json.loads(objects) == answer
    assert run("devices", "reveal", "dev-1").exit_code == 2
