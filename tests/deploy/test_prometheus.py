import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from enforcer.blocklists import shipped
from enforcer.config.load import load
from tests.deploy.page import labels_of_metrics
from tests.tools import need

DEPLOY = Path(__file__).parents[2] / "deploy"
NODES = [DEPLOY / "prometheus" / "nodes.yml", DEPLOY / "container" / "nodes.yml"]


def targets(nodes: Path) -> list[str]:
    return [target for entry in yaml.safe_load(nodes.read_text()) for target in entry["targets"]]


@pytest.mark.parametrize("nodes", NODES, ids=lambda path: path.parent.name)
def test_promtool_takes_the_scrape_file_with_its_nodes(nodes: Path, tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "prometheus" / "prometheus.yml", tmp_path)
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


# The rules of names (prometheus.io/docs/practices/naming)

LABELS = {
    *("action", "ban", "device", "family", "kept", "kind", "layer", "le", "listener", "mode", "other", "outcome"),
    *("python", "qtype", "realm", "reason", "result", "ruleset", "service", "sink", "source", "state", "transport"),
    *("upstream", "verdict", "version", "window", "worker"),
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
