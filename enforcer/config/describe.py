"""What can be told of a configuration: its schema, what is in force, and which changes need a restart."""

from operator import attrgetter

import yaml

from enforcer.config.model import Config

# What a process is made of once, at its start.
_FIXED = (
    "node",
    "data_dir",
    "policy.ban",
    "resolver.listeners",
    "resolver.workers",
    "resolver.upstreams",
    "resolver.strategy",
    "resolver.timeouts",
    "resolver.cache.max_bytes",
    "resolver.limits",
    "proxy.modes",
    "proxy.workers",
    "proxy.idle_s",
    "proxy.intercept_for_block_page",
    "proxy.ca_dir",
    "attempts.aggregate_s",
    "attempts.fsync_s",
    "attempts.spool_max",
    "attempts.index",
    "attempts.ships",
    "attempts.signing_key",
    *(f"identity.{key}" for key in ("radius", "leases", "neighbours", "tunnels", "shared", "wait_s", "settle_s")),
    *(f"identity.{key}" for key in ("sessions_max", "expire_h", "history_h")),
    "metrics.listen",
)


def schema() -> dict[str, object]:
    """The JSON schema of enforcer.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def show(config: Config) -> str:
    """The configuration in force as YAML, defaults too; keys without a value are left out. It loads to the same."""
    values = _stated(config.model_dump(mode="json"))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def needs_restart(old: Config, new: Config) -> list[str]:
    """The settings that differ and that a reload cannot change, by their paths."""
    return [path for path in _FIXED if attrgetter(path)(old) != attrgetter(path)(new)]


def _stated(values: object) -> object:
    """`values` without the keys that have none."""
    if isinstance(values, dict):
        return {key: _stated(value) for key, value in values.items() if value is not None}
    return [_stated(value) for value in values] if isinstance(values, list) else values
