"""What workers are told, and when they have to load anew."""

import os
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest

from enforcer.config.policy import Exemption
from enforcer.devices.inventory import Inventory
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.hub.compiler import Compiled
from enforcer.hub.force import Force
from enforcer.hub.loading import Loaded
from enforcer.hub.orders import RENEW_S
from enforcer.orders import Pause, decode_orders
from tests.processes.site import Site as Configured
from tests.records import NOON_MS, moment, registry

NOW = moment(NOON_MS)
LATER = NOW + timedelta(seconds=RENEW_S)
FULL = OSError(28, "No space left on device")


class Site:
    """A device that is exempt, at an address that it surely has."""

    def __init__(self, folder: Path) -> None:
        self.configured = Configured(folder)
        self.folders = Folders(folder / "data")
        self.folders.run.mkdir(parents=True)
        self.registry = registry(("dev-1", "192.0.2.1"))
        self.force = Force(self.folders, self.registry)

    def loaded(self, policy: str = "ab" * 32, *services: str) -> Loaded:
        config = self.configured.config
        until = NOW + timedelta(days=1)
        spared = (
            [Exemption(device="dev-1", services=services, until=until, reason="r", approved_by="a")] if services else []
        )
        changed = config.policy.model_copy(update={"exemptions": tuple(spared)})
        config = config.model_copy(update={"policy": changed})
        return Loaded(config, Inventory(), Compiled(policy, ("chat",), {}), NOW)

    def generation(self) -> int:
        return decode_orders(self.folders.orders.read_bytes()).generation


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_another_policy_or_configuration_is_another_generation_and_the_same_is_not(site: Site) -> None:
    site.force.put(site.loaded(), NOW)
    assert (site.generation(), site.folders.accepted.read_bytes()) == (1, site.loaded().text)
    site.force.put(site.loaded(), LATER)
    assert site.generation() == 1
    site.force.put(site.loaded("cd" * 32), LATER)
    assert site.generation() == 2
    site.configured.resolver["workers"] = 1
    site.force.put(site.loaded("cd" * 32), LATER)
    assert site.generation() == 3
    assert Force(site.folders, site.registry).orders == site.force.orders, "the next hub goes on from there"


def test_who_is_spared_something_is_granted_it_until_the_next_renewal(site: Site) -> None:
    loaded = site.loaded("ab" * 32, "chat")
    site.force.put(loaded, NOW)
    (grant,) = site.force.orders.grants
    assert (str(grant.address), grant.services) == ("192.0.2.1", ("chat",))
    site.registry.moved = False
    site.force.renew(loaded, NOW + timedelta(seconds=1))
    assert site.force.orders.grants == (grant,), "it holds for a while"
    site.registry.moved = True
    site.force.renew(loaded, NOW + timedelta(seconds=2))
    (moved,) = site.force.orders.grants
    assert moved.until == grant.until + timedelta(seconds=2), "somebody has come or gone"
    site.force.renew(loaded, NOW + timedelta(seconds=2 + RENEW_S))
    (renewed,) = site.force.orders.grants
    assert renewed.until == moved.until + timedelta(seconds=RENEW_S)
    assert site.generation() == 1


def test_a_pause_lasts_until_it_is_ended_or_over(site: Site) -> None:
    site.force.put(site.loaded(), NOW)
    site.force.pause("lab", LATER)
    assert site.force.orders.pauses == (Pause("lab", LATER),)
    assert site.force.resume("lab")
    assert not site.force.resume("lab")
    site.force.pause("lab", LATER)
    assert site.force.end_pauses(NOW) == ()
    assert site.force.end_pauses(LATER) == (Pause("lab", LATER),)
    assert not site.force.orders.pauses


def test_what_cannot_be_written_is_told_to_who_asked_and_logged_where_nobody_did(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = site.loaded("ab" * 32, "chat")
    site.force.put(loaded, NOW)
    site.force.pause("lab", LATER)
    with mock.patch.object(os, "write", side_effect=FULL):
        for change in (
            lambda: site.force.put(site.loaded("cd" * 32), NOW),
            lambda: site.force.pause("lab", NOW),
            lambda: site.force.resume("lab"),
        ):
            with pytest.raises(Unavailable, match=r"orders: cannot be written \(No space left"):
                change()
        site.force.renew(loaded, LATER)
        assert site.force.end_pauses(LATER) == ()
    assert caplog.text.count("orders event=not_written") == 2
    assert site.force.orders.pauses == (Pause("lab", LATER),), "it is tried again"
