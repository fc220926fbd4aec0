"""What can be told of a configuration: its schema, what is in force, and which changes need a restart."""

import yaml

from enforcer.config.model import Config


def schema() -> dict[str, object]:
    """The JSON schema of enforcer.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def show(config: Config) -> str:
    """The configuration in force as YAML, defaults too; keys without a value are left out. It loads to the same."""
    values = _stated(config.model_dump(mode="json"))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def needs_restart(old: Config, new: Config) -> list[str]:
    """The settings that differ and that a reload cannot change, by their paths."""
    fixed = {
        "node": (old.node, new.node),
        "data_dir": (old.data_dir, new.data_dir),
        "resolver.listeners": (old.resolver.listeners, new.resolver.listeners),
        "resolver.workers": (old.resolver.workers, new.resolver.workers),
        "metrics.listen": (old.metrics.listen, new.metrics.listen),
    }
    return [path for path, (before, after) in fixed.items() if before != after]


def _stated(values: object) -> object:
    """`values` without the keys that have none."""
    if isinstance(values, dict):
        return {key: _stated(value) for key, value in values.items() if value is not None}
    return [_stated(value) for value in values] if isinstance(values, list) else values
