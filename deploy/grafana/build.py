"""The dashboards, as code: `python deploy/grafana/build.py` writes each as the JSON file that Grafana reads.

What each shows is in a file of its own beside this one; here is how that looks. The tests build them anew and compare,
and ask every query of a real Prometheus that has scraped a loaded node.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from connections import CONNECTIONS
from evidence import EVIDENCE
from overview import OVERVIEW
from panel import NODE, RATE, Dashboard, Panel
from resolver import RESOLVER

DASHBOARDS = (OVERVIEW, RESOLVER, CONNECTIONS, EVIDENCE)
HERE = Path(__file__).parent / "dashboards"
SCHEMA = 42  # the last of the classic dashboards
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

type Json = dict[str, object]


def build(dashboard: Dashboard) -> Json:
    """A dashboard as Grafana reads it."""
    return {
        "annotations": {"list": [_builtin(), _loaded()]},
        "description": dashboard.text,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [_links()],
        "panels": list(_placed(dashboard)),
        "preload": False,
        "refresh": "1m",
        "schemaVersion": SCHEMA,
        "tags": ["enforcer"],
        "templating": {"list": list(_variables())},
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "title": dashboard.title,
        "uid": f"enforcer-{dashboard.name}",
        "version": 1,
    }


def _placed(dashboard: Dashboard) -> Iterator[Json]:
    """Rows and panels, from the left to the right and from the top down."""
    number = y = 0
    for title, panels in dashboard.rows.items():
        number += 1
        yield {
            "collapsed": False,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
            "id": number,
            "panels": [],
            "title": title,
            "type": "row",
        }
        y += 1
        x = height = 0
        for panel in panels:
            if x + panel.width > 24:
                x, y, height = 0, y + height, 0
            number += 1
            yield _panel(panel, number) | {"gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y}}
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _panel(panel: Panel, number: int) -> Json:
    look = {"stat": _stat, "timeseries": _timeseries, "table": _table, "heatmap": _heatmap}[panel.kind](panel)
    return {
        "datasource": DATA_SOURCE,
        "description": panel.text,
        "id": number,
        "targets": [_target(panel, at, *query) for at, query in enumerate(panel.queries.items())],
        "title": panel.title,
        "type": panel.kind,
        **look,
    }


def _target(panel: Panel, at: int, legend: str, expr: str) -> Json:
    now = panel.kind in ("stat", "table")
    return {
        "datasource": DATA_SOURCE,
        "editorMode": "code",
        "exemplar": panel.kind == "timeseries" and "enforcer_attempts_total" in expr,
        "expr": expr,
        "format": panel.kind if panel.kind in ("table", "heatmap") else "time_series",
        "instant": now,
        "legendFormat": legend,
        "range": not now,
        "refId": chr(ord("A") + at),
    }


def _defaults(panel: Panel, mode: str) -> Json:
    meanings = {value: {"index": at, "text": text} for at, (value, text) in enumerate(panel.words.items())}
    return {
        "color": {"mode": mode},
        "mappings": [{"options": meanings, "type": "value"}] if meanings else [],
        "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in panel.steps]},
        "unit": panel.unit,
    }


def _stat(panel: Panel) -> Json:
    return {
        "fieldConfig": {"defaults": _defaults(panel, "thresholds"), "overrides": []},
        "options": {
            "colorMode": "value" if len(panel.steps) > 1 else "none",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "name" if panel.named else "value_and_name",
            "wideLayout": True,
        },
    }


def _timeseries(panel: Panel) -> Json:
    custom = {
        "drawStyle": "line",
        "fillOpacity": 20 if panel.stacked else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
    }
    return {
        "fieldConfig": {
            "defaults": {**_defaults(panel, "palette-classic"), "custom": custom, "min": 0},
            "overrides": [],
        },
        "options": {
            "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"hideZeros": panel.stacked, "mode": "multi", "sort": "desc"},
        },
    }


def _table(panel: Panel) -> Json:
    bar = {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"}
    override = {
        "matcher": {"id": "byName", "options": "attempts"},
        "properties": [{"id": "custom.cellOptions", "value": bar}, {"id": "min", "value": 0}],
    }
    order = {"excludeByName": {"Time": True}, "indexByName": {"device": 0, "service": 1, "Value": 2}}
    return {
        "fieldConfig": {
            "defaults": {**_defaults(panel, "thresholds"), "custom": {"align": "auto", "filterable": True}},
            "overrides": [override],
        },
        "options": {"cellHeight": "sm", "showHeader": True, "sortBy": [{"desc": True, "displayName": "attempts"}]},
        "transformations": [{"id": "organize", "options": {**order, "renameByName": {"Value": "attempts"}}}],
    }


def _heatmap(panel: Panel) -> Json:
    return {
        "fieldConfig": {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {"exponent": 0.5, "mode": "scheme", "scale": "exponential", "scheme": "Oranges", "steps": 64},
            "filterValues": {"le": 1e-09},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "unit": panel.unit},
        },
    }


def _variables() -> Iterator[Json]:
    yield {"label": "Data source", "name": "datasource", "query": "prometheus", "refresh": 1, "type": "datasource"}
    for label, name, metric in (("Node", "instance", "build_info"), ("Service", "service", "attempts_total")):
        query = f"label_values(enforcer_{metric}, {name})"
        yield {
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "datasource": DATA_SOURCE,
            "definition": query,
            "includeAll": True,
            "label": label,
            "multi": True,
            "name": name,
            "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "refresh": 2,
            "sort": 1,
            "type": "query",
        }


def _builtin() -> Json:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _loaded() -> Json:
    return {
        "datasource": DATA_SOURCE,
        "enable": True,
        "expr": f"changes(enforcer_policy_loaded_timestamp_seconds{{{NODE}}}[{RATE}]) > 0",
        "iconColor": "blue",
        "name": "Policy loaded",
        "step": "60s",
        "textFormat": "at {{instance}}",
        "titleFormat": "Policy loaded",
    }


def _links() -> Json:
    return {
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "tags": ["enforcer"],
        "title": "Enforcer",
        "type": "dashboards",
    }


def main(folder: Path) -> None:
    """Write every dashboard."""
    for dashboard in DASHBOARDS:
        text = json.dumps(build(dashboard), indent=1, ensure_ascii=False)
        (folder / f"{dashboard.name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
