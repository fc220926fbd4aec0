"""`enforcer devices`."""

import json
from pathlib import Path

from enforcer.folders import Folders
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
