"""What can be told of a configuration."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from enforcer.config.describe import needs_restart, schema, show
from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]

EXEMPTION = {"group": "lab", "services": ["wechat"], "until": "2027-03-31", "reason": "é", "approved_by": "CISO"}


def test_what_is_shown_loads_to_the_same(configured: Configured, load_text: Callable[[str], Config]) -> None:
    config = configured(
        {
            "policy.exemptions": [EXEMPTION],
            "policy.third_party": [{"file": "x.txt", "service": "wechat"}],
            "resolver.upstreams": ["udp://[2001:db8::1]:5353"],
            "resolver.workers": 2,
            "resolver.cache.max_bytes": "2GiB",
            "resolver.answer": "sinkhole",
            "resolver.sinkhole": ["192.0.2.80"],
        }
    )
    assert load_text(show(config)) == config


def test_defaults_are_shown(configured: Configured) -> None:
    shown = yaml.safe_load(show(configured({})))
    assert shown["resolver"]["upstreams"] == "auto"
    assert shown["resolver"]["cache"] == {
        "max_bytes": "256MB",
        "max_ttl": 86400,
        "serve_stale": False,
        "prefetch": True,
    }
    assert shown["realms"][0]["mode"] == "enforce"
    assert shown["policy"]["notice"]["fr"] == "Bloqué par la politique de l’organisation"


def test_the_schema_is_json_with_a_meaning_for_each_key() -> None:
    described = schema()
    assert json.loads(json.dumps(described)) == described
    properties = described["properties"]
    assert isinstance(properties, dict)
    assert properties["policy"]["description"] == "What is banned."
    assert described["additionalProperties"] is False
    assert described["required"] == ["policy", "realms", "resolver"]


def test_the_schema_does_not_depend_on_the_machine() -> None:
    properties = schema()["properties"]
    assert isinstance(properties, dict)
    assert "default" not in properties["node"]


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, []),
        ({"resolver.block_ttl": 90, "policy.mode": "monitor", "metrics.devices": 1}, []),
        ({"node": "other", "data_dir": "elsewhere"}, ["node", "data_dir"]),
        ({"resolver.workers": 2, "metrics.listen": "127.0.0.1:9999"}, ["resolver.workers", "metrics.listen"]),
        (
            {"resolver.listeners": [{"name": "dns", "udp": "127.0.0.1:5301", "tcp": "127.0.0.1:5300"}]},
            ["resolver.listeners"],
        ),
    ],
)
def test_listeners_workers_names_and_folders_need_a_restart(
    configured: Configured, changes: Changes, paths: list[str]
) -> None:
    assert needs_restart(configured({}), configured(changes)) == paths


def test_a_moved_configuration_with_the_same_data_needs_none(configured: Configured, tmp_path: Path) -> None:
    written, resolved = configured({"data_dir": "data"}), configured({"data_dir": str(tmp_path / "data")})
    assert needs_restart(written, resolved) == []
