"""A small right configuration, and ways to change it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.errors import Mistakes

type Changes = dict[str, object]


def smallest(changes: Changes) -> str:
    """The smallest configuration as YAML (JSON is YAML), with values set by dotted path; None leaves a key out."""
    values: dict[str, object] = {
        "policy": {"lists": ["wechat.yaml"], "ban": "tbs-2023-10-30"},
        "realms": [{"name": "home", "networks": ["127.0.0.0/8"], "listeners": ["dns"]}],
        "resolver": {"listeners": [{"name": "dns", "udp": "127.0.0.1:5300", "tcp": "127.0.0.1:5300"}]},
    }
    for path, value in changes.items():
        *above, last = path.split(".")
        section = values
        for key in above:
            inner = section.setdefault(key, {})
            assert isinstance(inner, dict)
            section = inner
        section[last] = value
        if value is None:
            del section[last]
    return json.dumps(values, ensure_ascii=False)


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str], Config]:
    """Loads a text as tmp_path/enforcer.yaml; wechat.yaml and kaspersky.yaml are shipped, COLOUR is a variable."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("wechat.yaml", "kaspersky.yaml"):
        (shipped / name).touch()

    def find(name: str) -> Path | None:
        return shipped / name if (shipped / name).is_file() else None

    def load_text(text: str) -> Config:
        path = tmp_path / "enforcer.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, find, {"COLOUR": "green", "TTL": "90"})

    return load_text


@pytest.fixture
def configured(load_text: Callable[[str], Config]) -> Callable[[Changes], Config]:
    """The smallest configuration with some changes."""
    return lambda changes: load_text(smallest(changes))


@pytest.fixture
def mistakes(load_text: Callable[[str], Config]) -> Callable[[str], list[str]]:
    """All that is wrong with a text, each as `LINE: PATH: …`."""

    def mistakes(text: str) -> list[str]:
        with pytest.raises(Mistakes) as caught:
            load_text(text)
        return [f"{mistake.line}: {mistake.what}" for mistake in caught.value.mistakes]

    return mistakes


@pytest.fixture
def refused(mistakes: Callable[[str], list[str]]) -> Callable[[Changes], list[str]]:
    """All that is wrong with the smallest configuration with some changes; it is one line, so lines are left out."""
    return lambda changes: [mistake.removeprefix("1: ") for mistake in mistakes(smallest(changes))]
