import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from enforcer.blocklists import shipped
from enforcer.config.load import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "container"
RECIPE = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")


class Service(TypedDict):
    """What is looked at of a service."""

    image: str
    ports: list[str]
    volumes: list[str]
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]


def services() -> dict[str, Service]:
    found: dict[str, Service] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


NAMES = sorted(services())


def steps(instruction: str) -> list[str]:
    """What follows each use of an instruction of the recipe."""
    return re.findall(rf"^{instruction} +(.*)$", RECIPE, re.MULTILINE)


def test_what_is_installed_was_checked_against_the_lock() -> None:
    downloads = [step for step in steps("RUN") if "pip download" in step]
    installs = [step for step in steps("RUN") if re.search(r"pip .*(install|wheel) ", step) and step not in downloads]
    assert all("--require-hashes" in step for step in downloads)
    assert all("--requirement deploy/constraints.txt" in step for step in downloads)
    assert all("--no-index --find-links /wheels" in step for step in installs)
    assert len(downloads) == len(installs) == 1


def test_the_image_runs_as_a_user_without_privileges() -> None:
    (user,) = steps("USER")
    assert user.partition(":")[0] not in {"0", "root"}


def test_the_recipe_copies_only_what_is_there_and_not_ignored() -> None:
    lines = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for step in steps("COPY") if not step.startswith("--from") for source in step.split()[:-1]}
    assert copied == kept
    assert all((ROOT / path).exists() for path in copied)


def test_the_health_check_asks_the_page_that_the_configuration_names() -> None:
    config = load(FOLDER / "enforcer.yaml", shipped)
    (check,) = steps("HEALTHCHECK")
    assert f"http://127.0.0.1:{config.metrics.listen.port}/healthz" in check


def test_the_configuration_listens_where_ports_are_published() -> None:
    config = load(FOLDER / "enforcer.yaml", shipped)
    published = {tuple(port.rpartition(":")[2].split("/")) for port in services()["enforcer"]["ports"]}
    endpoints = [endpoint for listener in config.resolver.listeners for endpoint in listener.endpoints]
    listened = {("udp" if key == "udp" else "tcp", endpoint.port) for key, endpoint in endpoints}
    assert {(protocol, int(port)) for port, protocol in published} == listened
    assert config.data_dir == Path("/var/lib/enforcer")


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_no_privileges_and_writes_only_to_its_volumes(name: str) -> None:
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_published_on_loopback_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in services()[name]["ports"])


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_a_version(name: str) -> None:
    assert fnmatch(services()[name]["image"], "*:*.*.*")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_mounted_is_there_and_cannot_be_written(name: str) -> None:
    mounts = [volume.split(":") for volume in services()[name]["volumes"] if volume.startswith(".")]
    assert all((FOLDER / source).exists() and mode == "ro" for source, _, mode in mounts)
