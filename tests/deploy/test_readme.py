import re
import shlex
from pathlib import Path

import pytest
import yaml

from enforcer.blocklists import shipped
from enforcer.config.load import load
from enforcer.identity.inventory import parse_inventory
from tests.deploy.commands import see_that_it_is_a_command
from tests.deploy.page import labels_of_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("enforcer ")]
COMMANDS += re.findall(r"`(enforcer [a-z][^`]*)`", TEXT)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"enforcer run"}))
def test_every_command_is_one_that_there_is(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DEPLOY.parent)  # an argument may be a file of the repository
    see_that_it_is_a_command(shlex.split(command)[1:])


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"deploy/[\w@./-]*[\w/]", TEXT)) | set(re.findall(r"\]\(([^)#]+\.md)\)", TEXT))
    for name in named:
        assert (DEPLOY / name).exists() or (DEPLOY.parent / name).exists(), name


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_the_metrics_that_are_named_are_metrics_that_there_are() -> None:
    assert set(re.findall(r"\benforcer_\w+", TEXT)) - {"enforcer_dns", "enforcer_config"} <= labels_of_metrics().keys()


@pytest.mark.parametrize("shown", blocks("yaml"))
def test_the_configuration_that_is_shown_loads(shown: str, tmp_path: Path) -> None:
    production = {key: value for key, value in yaml.safe_load((DEPLOY / "enforcer.yaml").read_text()).items() if value}
    changes = yaml.safe_load(shown)
    if "realms" in changes:  # all that the example serves
        changes["realms"] = [{**realm, "listeners": ["dns4", "dns6"]} for realm in changes["realms"]]
    changes["policy"] = production["policy"] | changes.get("policy", {})
    (tmp_path / "devices.csv").touch()
    (tmp_path / "enforcer.yaml").write_text(yaml.safe_dump(production | changes))
    load(tmp_path / "enforcer.yaml", shipped)


def test_the_inventory_that_is_shown_loads() -> None:
    (shown,) = blocks("csv")
    realms = load(DEPLOY / "enforcer.yaml", shipped).realms
    assert [binding.device for binding in parse_inventory(shown, "devices.csv", realms).bindings][-1] is None
