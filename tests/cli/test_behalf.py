from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from enforcer.cli.behalf import in_force
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Action, Destination, Layer
from tests.cli.site import CONFIG, write_config

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_the_policy_is_the_configurations_and_the_client_is_of_the_only_realm(site: Path) -> None:
    policy, client = in_force(None, None, None, NOW)
    assert policy.services == ("chat",)
    assert (client.realm, client.mode, dict(client.exempt)) == ("lab", Mode.ENFORCE, {})


def test_a_device_has_its_exemptions(site: Path) -> None:
    _, client = in_force(None, "dev-2", None, NOW)
    assert set(client.exempt) == {"chat"}
    _, other = in_force(None, "dev-1", None, NOW)
    assert not other.exempt


def test_a_realm_has_its_mode(site: Path) -> None:
    realms = [{"name": "lab", "networks": ["10.20.0.0/16"], "listeners": ["dns"], "mode": "monitor"}]
    write_config(site, {**CONFIG, "realms": realms})
    assert in_force(None, None, "lab", NOW)[1].mode is Mode.MONITOR


def test_without_a_configuration_it_is_what_is_shipped_on_behalf_of_nobody(tmp_path: Path) -> None:
    policy, client = in_force(None, None, None, NOW)
    assert policy.services == ("bypass", "kaspersky", "wechat")
    assert client.realm == ""
    assert policy.judge(Destination(Layer.MMTLS, fingerprint="mmtls"), client, NOW).action is Action.BLOCK


@pytest.mark.parametrize(("device", "realm"), [("dev-9", None), (None, "elsewhere")])
def test_nobody_is_guessed(site: Path, device: str | None, realm: str | None) -> None:
    with pytest.raises(click.UsageError, match="is not"):
        in_force(None, device, realm, NOW)


def test_a_device_needs_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="--config"):
        in_force(None, "dev-1", None, NOW)
