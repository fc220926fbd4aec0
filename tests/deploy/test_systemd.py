import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.deploy.commands import see_that_it_is_a_command
from tests.tools import need

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
INSTALLED = "/opt/enforcer/bin/enforcer"
WANTED = {
    "enforcer-hub.service": "",
    "enforcer-sinks.service": "",
    "enforcer-gateway.service": "CAP_NET_ADMIN",
    "enforcer-gate@.service": "CAP_NET_ADMIN CAP_NET_RAW",
}
PRIVILEGES = {"AmbientCapabilities", "CapabilityBoundingSet"}


def service(unit: Path) -> Mapping[str, Sequence[str]]:
    """The keys of a unit's [Service] section; a key can be there several times."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def sandbox(unit: Path) -> dict[str, Sequence[str]]:
    """What a unit keeps from its process: all that stands after the first capability."""
    keys = service(unit)
    first = list(keys).index("CapabilityBoundingSet")
    return {key: keys[key] for key in list(keys)[first:] if key not in PRIVILEGES}


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units as they are installed, but for where Enforcer is; of a template, the first instance."""
    program = tmp_path / "enforcer"
    program.touch(mode=0o755)
    units = [tmp_path / unit.name.replace("@", "@0") for unit in UNITS]
    for unit, copy in zip(UNITS, units, strict=True):
        copy.write_text(unit.read_text().replace(INSTALLED, str(program)))
    return units


def test_systemd_finds_nothing_to_say_about_the_units(installed: list[Path]) -> None:
    command = [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", *map(str, installed)]
    verify = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    about_ours = [line for line in verify.stdout.splitlines() if "enforcer" in line]
    assert (verify.returncode, about_ours) == (0, [])  # this machine's other units are none of our business


def test_systemd_counts_little_exposure(installed: list[Path]) -> None:
    command = [need("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager"]
    for unit in installed:
        result = subprocess.run([*command, str(unit)], stdout=subprocess.PIPE, text=True, check=False)
        assert result.returncode == 0, result.stdout.splitlines()[-1]  # above 2.0 of 10


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_shuts_the_same_doors(unit: Path) -> None:
    netlink = " AF_NETLINK" if "gat" in unit.name else ""  # nft and NFQUEUE
    expected = sandbox(FOLDER / "enforcer.service")
    families = [each + netlink for each in expected["RestrictAddressFamilies"]]
    assert sandbox(unit) == {**expected, "RestrictAddressFamilies": families}
    assert sandbox(unit)["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_the_privilege_that_its_part_needs_and_no_other(unit: Path) -> None:
    keys = service(unit)
    wanted = WANTED.get(unit.name, "CAP_NET_BIND_SERVICE")
    assert keys["CapabilityBoundingSet"] == [wanted]
    assert keys.get("AmbientCapabilities", [""]) == [wanted]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_command_of_a_unit_is_one_of_enforcer(unit: Path) -> None:
    lines = [line for key, values in service(unit).items() if key.startswith("Exec") for line in values]
    assert lines
    for line in lines:
        program, *arguments = line.replace("%i", "0").split()
        assert program == INSTALLED
        see_that_it_is_a_command(arguments)


def test_a_mistake_in_the_configuration_stops_the_start() -> None:
    assert service(FOLDER / "enforcer.service")["ExecStartPre"] == [f"{INSTALLED} config check"]


def test_a_killed_worker_does_not_end_the_others() -> None:
    assert service(FOLDER / "enforcer.service")["OOMPolicy"] == ["continue"]
