"""What ships for SIEMs is of the syntax of its reader, and speaks of fields and events that there are."""

import re
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml

from enforcer.attempts.attempt import ATTEMPT_KEYS, CHECKPOINT_KEYS, EVENT_KEYS
from enforcer.attempts.formats.render import Format
from enforcer.config.sinks import SinkType
from enforcer.policy.verdict import Layer
from tests.certificates import Authority
from tests.tools import need

SIEM = Path(__file__).parents[2] / "deploy" / "siem"
RULES = [
    (path.name, rule)
    for path in sorted((SIEM / "sigma").glob("*.yml"))
    for rule in yaml.safe_load_all(path.read_text())
]
NAMES = {rule["name"] for _, rule in RULES if "name" in rule}
FIELDS = {*ATTEMPT_KEYS, *EVENT_KEYS, *CHECKPOINT_KEYS}
DETECTIONS = [(file, rule) for file, rule in RULES if "detection" in rule]
CORRELATIONS = [(file, rule) for file, rule in RULES if "correlation" in rule]
LEVELS = {"informational", "low", "medium", "high", "critical"}


def title(case: object) -> str:
    return str(case["title"]) if isinstance(case, dict) else str(case)


@pytest.mark.parametrize(("file", "rule"), RULES, ids=title)
def test_every_rule_has_what_sigma_demands(file: str, rule: dict[str, object]) -> None:
    assert isinstance(rule["title"], str)
    assert len(rule["title"]) <= 256
    assert str(uuid.UUID(str(rule["id"]))) == rule["id"]
    assert rule["level"] in LEVELS
    assert rule["status"] == "experimental"
    assert ("detection" in rule) is not ("correlation" in rule)


def test_no_id_is_given_twice() -> None:
    ids = [rule["id"] for _, rule in RULES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("file", "rule"), DETECTIONS, ids=title)
def test_detections_speak_of_fields_of_the_record(file: str, rule: dict[str, dict[str, object]]) -> None:
    detection = rule["detection"]
    assert detection["condition"] == "selection"
    selection = detection["selection"]
    assert isinstance(selection, dict)
    assert set(selection) | set(rule.get("fields", ())) <= FIELDS
    assert selection["type"] in {"attempt", "event", "checkpoint"}
    layers = selection.get("layer", [])
    assert set(layers if isinstance(layers, list) else [layers]) <= set(Layer)
    assert rule["logsource"] == {"product": "enforcer", "service": "attempts"}


@pytest.mark.parametrize(("file", "rule"), CORRELATIONS, ids=title)
def test_correlations_speak_of_rules_that_there_are(file: str, rule: dict[str, dict[str, object]]) -> None:
    correlation = rule["correlation"]
    rules, group = correlation["rules"], correlation["group-by"]
    assert isinstance(rules, list)
    assert isinstance(group, list)
    assert set(rules) <= NAMES
    assert set(group) <= FIELDS
    assert correlation["type"] in {"event_count", "temporal_ordered"}
    assert re.fullmatch(r"\d+[smhd]", str(correlation["timespan"]))
    assert ("condition" in correlation) is (correlation["type"] == "event_count")


def test_the_page_knows_every_format_and_sink() -> None:
    text = (SIEM / "README.md").read_text()
    assert {form for form in Format if f"`{form}`" not in text} == set()
    assert {kind for kind in SinkType if f"type: {kind}" not in text and f"`{kind}`" not in text} <= {
        SinkType.HTTP,
        SinkType.KAFKA,
    }


@pytest.mark.e2e
def test_rsyslog_takes_its_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("siem", "siem.example")
    text = (SIEM / "rsyslog.conf").read_text()
    for path, own in (
        ("/etc/rsyslog.d/enforcer-ca.pem", authority.pem),
        ("/etc/rsyslog.d/siem.pem", pair.certificate),
        ("/etc/rsyslog.d/siem.key", pair.key),
        ("/var/log/enforcer-attempts.log", tmp_path / "log"),
    ):
        assert path in text
        text = text.replace(path, str(own))
    (tmp_path / "rsyslog.conf").write_text(f'global(workDirectory="{tmp_path}")\n{text}')
    command = [need("rsyslogd"), "-N1", "-f", str(tmp_path / "rsyslog.conf")]
    check = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert check.returncode == 0, check.stdout
