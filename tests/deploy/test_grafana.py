import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from tests.deploy.page import labels_of_metrics, see_that_prometheus_reads

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*", "$service": ".*"}
CLASSIC_SCHEMA = 42  # the last of the classic dashboards


class Target(TypedDict):
    datasource: dict[str, str]
    expr: str
    legendFormat: str
    refId: str


class Position(TypedDict):
    x: int
    y: int
    w: int
    h: int


class Panel(TypedDict):
    """What is looked at of a panel; a row has no targets."""

    id: int
    title: str
    type: str
    description: str
    datasource: dict[str, str]
    gridPos: Position
    targets: list[Target]


class Dashboard(TypedDict):
    """What is looked at of a dashboard."""

    schemaVersion: int
    panels: list[Panel]
    annotations: dict[str, list[dict[str, object]]]
    templating: dict[str, list[dict[str, object]]]


DASHBOARD: Dashboard = json.loads((FOLDER / "dashboards" / "enforcer.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [
    str(annotation["expr"]) for annotation in DASHBOARD["annotations"]["list"] if "expr" in annotation
]


def test_every_expression_is_one_that_prometheus_reads(tmp_path: Path) -> None:
    see_that_prometheus_reads(map(as_asked, EXPRESSIONS), tmp_path)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_there_are(expr: str) -> None:
    metrics = labels_of_metrics()
    names = re.findall(r"enforcer_\w+", expr)
    assert names
    assert set(names) <= metrics.keys()
    known = {"instance"}.union(*(metrics[name] for name in names))
    grouped = ",".join(re.findall(r"(?:by|on|ignoring) \(([^)]*)\)", expr))
    asked = {label.strip() for label in grouped.split(",")} | set(re.findall(r"(\w+)(?:=~|!=|=)\"", expr))
    assert asked - {""} <= known


def test_every_variable_of_an_expression_is_one_of_the_dashboard() -> None:
    defined = {str(variable["name"]) for variable in DASHBOARD["templating"]["list"]}
    used = {name for expr in EXPRESSIONS for name in re.findall(r"\$(\w+)", expr)}
    assert used <= defined | {"__range", "__rate_interval"}
    assert set(VARIABLES) >= {f"${name}" for name in used}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_asks_the_chosen_data_source(panel: Panel) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"] == DATA_SOURCE
    assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit(panel: Panel) -> None:
    assert re.search(r'"unit": "\w+"', json.dumps(panel))


def test_panels_do_not_cover_each_other() -> None:
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def test_ids_and_titles_are_each_given_once() -> None:
    for values in ([panel["id"] for panel in DASHBOARD["panels"]], [panel["title"] for panel in PANELS]):
        assert [value for value, times in Counter(map(str, values)).items() if times > 1] == []


def test_only_panels_that_come_with_grafana_are_used() -> None:
    assert DASHBOARD["schemaVersion"] == CLASSIC_SCHEMA
    assert {panel["type"] for panel in PANELS} <= {"heatmap", "stat", "table", "timeseries"}


def test_the_provisioned_folder_is_where_the_containers_dashboards_are() -> None:
    provider = yaml.safe_load((FOLDER / "provisioning" / "dashboards" / "enforcer.yaml").read_text())["providers"][0]
    compose = yaml.safe_load((FOLDER.parent / "container" / "compose.yaml").read_text())
    volumes = compose["services"]["grafana"]["volumes"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in volumes
    (source,) = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"].strip("${}") in compose["services"]["grafana"]["environment"]


def as_asked(expr: str) -> str:
    """The expression with Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr
