from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from enforcer.config.policy import Exemption
from enforcer.devices.device import Binding, Source
from enforcer.hub.orders import RENEW_S, OrderBook, grants_for
from enforcer.orders import GRANT_S, Grant, Pause, decode_orders

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GRANT = Grant("lab", ip_address("192.0.2.1"), ("chat",), NOW + timedelta(seconds=60))


def exemption(until: datetime = NOW + timedelta(days=1), **holder: str) -> Exemption:
    return Exemption(services=("chat",), until=until, reason="a test", approved_by="a tester", **holder)


def binding(network: str, device: str | None = "dev-1", group: str | None = "team") -> Binding:
    return Binding("lab", ip_network(network), device, group, Source.NETWORK)


def book(folder: Path) -> OrderBook:
    return OrderBook(folder / "orders")


def test_before_the_first_policy_nothing_is_in_force(tmp_path: Path) -> None:
    assert (book(tmp_path).orders.generation, book(tmp_path).orders.policy) == (0, "")
    assert not (tmp_path / "orders").exists()


def test_orders_are_in_the_file_and_survive_the_hub(tmp_path: Path) -> None:
    first = book(tmp_path)
    first.put_in_force("ab" * 32, [GRANT])
    first.pause("lab", NOW + timedelta(minutes=5))
    assert decode_orders((tmp_path / "orders").read_bytes()) == first.orders
    assert book(tmp_path).orders == first.orders


def test_only_another_policy_makes_another_generation(tmp_path: Path) -> None:
    orders = book(tmp_path)
    for policy, generation in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        orders.put_in_force(policy, ())
        assert orders.orders.generation == generation


def test_damaged_orders_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "orders").write_bytes(b"{")
    assert book(tmp_path).orders.generation == 0


def test_pauses_end_by_time_or_by_order(tmp_path: Path) -> None:
    orders = book(tmp_path)
    orders.pause("lab", NOW + timedelta(minutes=5))
    orders.pause("lab", NOW + timedelta(minutes=9))
    orders.pause("other", NOW)
    assert orders.drop_ended(NOW) == (Pause("other", NOW),)
    assert orders.orders.pauses == (Pause("lab", NOW + timedelta(minutes=9)),)
    assert orders.resume("lab")
    assert not orders.resume("lab")
    assert book(tmp_path).orders.pauses == ()


def test_a_pause_outlives_a_new_policy(tmp_path: Path) -> None:
    orders = book(tmp_path)
    orders.pause("lab", NOW + timedelta(minutes=5))
    orders.put_in_force("b", ())
    assert [pause.realm for pause in orders.orders.pauses] == ["lab"]


def test_renewed_grants_replace_all_others(tmp_path: Path) -> None:
    orders = book(tmp_path)
    orders.grant([GRANT])
    assert book(tmp_path).orders.grants == (GRANT,)
    orders.grant([])
    assert book(tmp_path).orders.grants == ()


def test_without_grants_nothing_is_written(tmp_path: Path) -> None:
    book(tmp_path).grant([])
    assert not (tmp_path / "orders").exists()


def test_a_grant_outlives_two_missed_renewals() -> None:
    assert GRANT_S >= 3 * RENEW_S


def test_a_device_is_granted_its_addresses_until_the_grant_lapses() -> None:
    bindings = [binding("192.0.2.1/32"), binding("2001:db8::1/128"), binding("192.0.2.9/32", device="dev-2")]
    assert grants_for([exemption(device="dev-1")], bindings, NOW) == (
        Grant("lab", ip_address("192.0.2.1"), ("chat",), NOW + timedelta(seconds=60)),
        Grant("lab", ip_address("2001:db8::1"), ("chat",), NOW + timedelta(seconds=60)),
    )


def test_a_group_is_its_devices() -> None:
    bindings = [binding("192.0.2.1/32"), binding("192.0.2.2/32", group="other"), binding("192.0.2.3/32", device=None)]
    assert [str(grant.address) for grant in grants_for([exemption(group="team")], bindings, NOW)] == ["192.0.2.1"]


def test_no_grant_outlives_its_exemption() -> None:
    end = NOW + timedelta(seconds=10)
    (grant,) = grants_for([exemption(end, device="dev-1")], [binding("192.0.2.1/32")], NOW)
    assert grant.until == end
    assert grants_for([exemption(end, device="dev-1")], [binding("192.0.2.1/32")], end) == ()


@pytest.mark.parametrize(("network", "addresses"), [("192.0.2.0/30", 4), ("192.0.0.0/16", 0), ("2001:db8::/64", 0)])
def test_each_address_of_a_small_network_is_granted_and_none_of_a_large_one(network: str, addresses: int) -> None:
    assert len(grants_for([exemption(device="dev-1")], [binding(network)], NOW)) == addresses
