import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from enforcer.blocklists import shipped
from enforcer.config.load import load
from tests.deploy.page import labels_of_metrics, reference
from tests.tools import need

DEPLOY = Path(__file__).parents[2] / "deploy"
NODES = [DEPLOY / "prometheus" / "nodes.yml", DEPLOY / "container" / "nodes.yml"]


def targets(nodes: Path) -> list[str]:
    return [target for entry in yaml.safe_load(nodes.read_text()) for target in entry["targets"]]


@pytest.mark.parametrize("nodes", NODES, ids=lambda path: path.parent.name)
def test_promtool_takes_the_scrape_file_with_its_nodes(nodes: Path, tmp_path: Path) -> None:
    for name in ("prometheus.yml", "recording.yml", "alerts.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    shutil.copy(nodes, tmp_path)
    command = [need("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    check = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert check.returncode == 0, check.stdout
    assert "WARNING" not in check.stdout


def test_the_node_is_asked_where_its_configuration_listens() -> None:
    assert targets(NODES[0]) == [str(load(DEPLOY / "enforcer.yaml", shipped).metrics.listen)]


def test_the_container_is_asked_where_its_configuration_listens() -> None:
    port = load(DEPLOY / "container" / "enforcer.yaml", shipped).metrics.listen.port
    assert targets(NODES[1]) == [f"enforcer:{port}"]


# Rules

RULES = [
    rule
    for name in ("recording.yml", "alerts.yml")
    for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
README = (DEPLOY / "README.md").read_text()


def test_promtool_sees_each_alert_fire_alone_and_none_when_all_is_well() -> None:
    path = DEPLOY / "prometheus" / "alerts.test.yml"
    done = subprocess.run(
        [need("promtool"), "test", "rules", path.name],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    fired = set(re.findall(r'alertname="(\w+)"\}', path.read_text()))
    assert fired == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, str]) -> None:
    names = set(re.findall(r"[a-z0-9_:]*enforcer_[a-z0-9_:]+", rule["expr"]))
    assert names <= labels_of_metrics().keys() | RECORDED


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_it_is_told_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook"}
    assert notes["description"].endswith(".")
    assert not notes["summary"].endswith(".")
    assert notes["runbook"] == f"deploy/README.md#{str(rule['alert']).lower()}"
    assert f"\n### {rule['alert']}\n" in README


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^### (Enforcer\w+)$", README, re.MULTILINE)) == {rule["alert"] for rule in ALERTS}


# The reference


def test_the_reference_has_every_metric_as_the_page_has_it() -> None:
    text = (DEPLOY / "prometheus" / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `enforcer_")]
    assert rows == list(reference())


# The rules of names (prometheus.io/docs/practices/naming)

LABELS = {
    *("action", "ban", "device", "family", "kept", "kind", "layer", "le", "listener", "mode", "other", "outcome"),
    *("python", "qtype", "realm", "reason", "result", "revision", "ruleset", "service", "sink", "source", "state"),
    *("transport", "upstream", "verdict", "version", "what", "window", "worker"),
}
"""Closed sets all of them: enumerations, names that the configuration gives, and the top devices of one gauge."""

NOT_BASE = re.compile(r"_(ms|milliseconds|minutes|hours|kb|mb|kilobytes|megabytes|percent|count_total)\b")


@pytest.mark.parametrize("name", sorted(labels_of_metrics()))
def test_a_name_has_the_prefix_and_base_units_and_labels_of_closed_sets(name: str) -> None:
    assert re.fullmatch(r"enforcer_[a-z][a-z0-9_]*[a-z0-9]", name)
    assert not NOT_BASE.search(name)
    assert "duration" not in name or "_seconds" in name
    assert "timestamp" not in name or name.endswith("_timestamp_seconds")
    labels = labels_of_metrics()[name]
    assert labels <= LABELS
    assert ("device" in labels) == (name == "enforcer_device_attempts")
