"""`enforcer config`."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.site import CONFIG, DEVICES, LIST, Run, write_config


def test_a_right_configuration_would_start(run: Run, site: Path) -> None:
    result = run("config", "check")
    assert result.stdout == "enforcer.yaml: this would start: node gw-1, 1 lists with 6 rules, 2 devices\n"
    assert result.exit_code == 0
    assert not (site / "data").exists()


def test_a_warning_is_told_and_stops_nothing(run: Run, site: Path) -> None:
    (site / "chat.yaml").write_text(LIST.replace("expires: 2026-12-24", "expires: 2020-01-01"))
    result = run("config", "check")
    assert result.stderr.startswith(f"warning: {site}/chat.yaml:14: rule")
    assert result.exit_code == 0
    answer = json.loads(run("config", "check", "--json").stdout)
    assert (answer["lists"], answer["rules"], answer["devices"]) == (1, 6, 2)
    assert len(answer["warnings"]) == 1


def test_a_sink_that_could_not_be_made_is_a_warning(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "enforcer.attempts.sinks.kafka", None)
    write_config(site, {**CONFIG, "attempts": {"sinks": [{"type": "kafka", "brokers": ["k:9092"]}]}})
    result = run("config", "check")
    assert (
        'warning: attempts.sinks[0] (kafka): confluent-kafka is not installed; install "enforcer[kafka]"'
        in result.stderr
    )
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("library", "settings", "said"),
    [
        ("psycopg", {"attempts": {"index": "postgresql://db.test/x"}}, 'install "enforcer[postgres]"'),
        ("redis", {"identity": {"shared": "redis://db.test"}}, 'install "enforcer[redis]"'),
    ],
)
def test_a_library_without_which_nothing_would_start_is_a_mistake(
    run: Run, site: Path, monkeypatch: pytest.MonkeyPatch, library: str, settings: dict[str, object], *, said: str
) -> None:
    write_config(site, {**CONFIG, **settings})
    assert run("config", "check").exit_code == 0
    monkeypatch.setitem(sys.modules, library, None)
    result = run("config", "check")
    assert f"{library} is not installed; {said}" in result.stderr
    assert result.exit_code == 2


def test_mistakes_of_lists_inventory_and_configuration_are_told_together(run: Run, site: Path) -> None:
    (site / "chat.yaml").write_text(LIST.replace("exact: cdn.test", 'exact: "cdn,test"'))
    (site / "devices.csv").write_text(DEVICES.replace("10.20.0.5", "10.99.0.5"))
    result = run("config", "check")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == [
        f"{site}/devices.csv:2",
        f"{site}/chat.yaml:12",
    ]
    assert result.exit_code == 2


def test_an_exemption_of_a_service_that_no_list_bans_is_a_mistake(run: Run, site: Path) -> None:
    policy = json.loads(json.dumps(CONFIG["policy"]))
    policy["exemptions"][0]["services"] = ["chatt"]
    write_config(site, {**CONFIG, "policy": policy})
    result = run("config", "check")
    assert 'policy.exemptions[0].services[0]: "chatt" is not a service of the lists in force' in result.stderr
    assert result.exit_code == 2


def test_every_mistake_of_the_file_is_told(run: Run, site: Path) -> None:
    write_config(site, {**CONFIG, "nod": "x", "realms": []})
    result = run("config", "check")
    assert len(result.stderr.splitlines()) == 2
    assert result.exit_code == 2


def test_the_schema_is_json(run: Run) -> None:
    schema = json.loads(run("config", "schema").stdout)
    assert {"node", "policy", "realms", "resolver"} <= schema["properties"].keys()


def test_show_prints_what_is_in_force_and_loads_again(run: Run, site: Path) -> None:
    text = run("config", "show").stdout
    (site / "shown.yaml").write_text(text)
    assert run("config", "show", "--config", "shown.yaml").stdout == text
    assert json.loads(run("config", "show", "--json").stdout) == yaml.safe_load(text)
