import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from tests.deploy.page import families, labels_of_metrics, names_of, see_that_prometheus_reads
from tests.deploy.test_prometheus import RULES

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

    uid: str
    schemaVersion: int
    panels: list[Panel]
    annotations: dict[str, list[dict[str, object]]]
    templating: dict[str, list[dict[str, object]]]


NAMES = ("overview", "resolver", "connections", "evidence")
DASHBOARDS: dict[str, Dashboard] = {
    name: json.loads((FOLDER / "dashboards" / f"{name}.json").read_text()) for name in NAMES
}
SHOWN = [(name, panel) for name in NAMES for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]
IDS = [f"{name}: {panel['title']}" for name, panel in SHOWN]
PANELS = [panel for _, panel in SHOWN]
EXPRESSIONS = sorted(
    {target["expr"] for panel in PANELS for target in panel["targets"]}
    | {str(each["expr"]) for name in NAMES for each in DASHBOARDS[name]["annotations"]["list"] if "expr" in each}
)


def test_the_files_are_what_the_code_builds(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "build.py", tmp_path], check=True)
    built = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_text() for path in (FOLDER / "dashboards").iterdir()}
    assert set(built) == {f"{name}.json" for name in NAMES}


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


def test_every_metric_is_in_a_panel_or_an_alert() -> None:
    asked = "\n".join([*EXPRESSIONS, *(rule["expr"] for rule in RULES)])
    named = set(re.findall(r"enforcer_\w+", asked))
    assert [family.name for family in families() if not named & names_of(family)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_of_an_expression_is_one_of_the_dashboard(name: str) -> None:
    defined = {str(variable["name"]) for variable in DASHBOARDS[name]["templating"]["list"]}
    expressions = [target["expr"] for where, panel in SHOWN if where == name for target in panel["targets"]]
    used = {found for expr in expressions for found in re.findall(r"\$(\w+)", expr)}
    assert used <= defined | {"__range", "__rate_interval"}
    assert set(VARIABLES) >= {f"${found}" for found in used}


@pytest.mark.parametrize("panel", PANELS, ids=IDS)
def test_a_panel_says_what_it_shows_and_asks_the_chosen_data_source(panel: Panel) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"] == DATA_SOURCE
    assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=IDS)
def test_a_panel_has_a_unit(panel: Panel) -> None:
    assert re.search(r'"unit": "\w+"', json.dumps(panel))


@pytest.mark.parametrize("panel", PANELS, ids=IDS)
def test_a_state_is_said_in_words_and_not_by_colour_alone(panel: Panel) -> None:
    text = json.dumps(panel)
    if panel["type"] == "stat" and '"unit": "none"' in text:
        assert '"textMode": "name"' in text or '"type": "value"' in text


@pytest.mark.parametrize("name", NAMES)
def test_panels_do_not_cover_each_other(name: str) -> None:
    positions = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    for one, other in combinations(positions, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(each["x"] + each["w"] <= 24 for each in positions)


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_titles_are_each_given_once(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    for values in ([panel["id"] for panel in panels], [panel["title"] for panel in panels]):
        assert [value for value, times in Counter(map(str, values)).items() if times > 1] == []


def test_only_panels_that_come_with_grafana_are_used() -> None:
    assert {dashboard["schemaVersion"] for dashboard in DASHBOARDS.values()} == {CLASSIC_SCHEMA}
    assert {panel["type"] for panel in PANELS} <= {"heatmap", "stat", "table", "timeseries"}
    assert len({json.dumps(dashboard["uid"]) for dashboard in DASHBOARDS.values()}) == len(NAMES)


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
