from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from enforcer.config.policy import Exemption, Monitored, Policy
from enforcer.devices.device import Binding, Device, Source
from enforcer.devices.inventory import Inventory, Kind
from enforcer.devices.prefix import prefix_of
from enforcer.devices.registry import Registry
from enforcer.devices.session import Report, Status
from enforcer.devices.subject import Subject
from enforcer.hub.orders import RENEW_S, OrderBook, Spared
from enforcer.orders import GRANT_S, Grant, Grants, Orders, Pause, ShownGrant, decode_orders

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=60)
GRANT = Grant("lab", ip_address("192.0.2.1"), ("chat",), NOW + timedelta(seconds=60))


def exemption(until: datetime = NOW + timedelta(days=1), **holder: str) -> Exemption:
    return Exemption(services=("chat",), until=until, reason="a test", approved_by="a tester", **holder)


def known(*rows: tuple[str, str | None, str | None]) -> Registry:
    """Static rows: network, device and group."""
    bindings = tuple(Binding("lab", ip_network(net), device, group, Source.NETWORK) for net, device, group in rows)
    devices = dict.fromkeys(Device(device, group) for _, device, group in rows if device is not None)
    return Registry(Inventory(tuple(devices), bindings=bindings))


def grants(registry: Registry, *holders: Exemption | Monitored, now: datetime = NOW) -> tuple[Grant, ...]:
    return spared(registry, *holders).grants(now)[0]


def spared(registry: Registry, *holders: Exemption | Monitored) -> Spared:
    exemptions = [each for each in holders if isinstance(each, Exemption)]
    monitored = [each for each in holders if isinstance(each, Monitored)]
    return Spared(Policy(lists=("x",), ban="b", exemptions=exemptions, monitored=monitored), registry, ["lab"])  # type: ignore[arg-type]


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
    registry = known(("192.0.2.1", "dev-1", "team"), ("2001:db8::1", "dev-1", "team"), ("192.0.2.9", "dev-2", "team"))
    assert grants(registry, exemption(device="dev-1")) == (
        Grant("lab", ip_address("192.0.2.1"), ("chat",), SOON),
        Grant("lab", ip_address("2001:db8::1"), ("chat",), SOON),
    )


def test_a_group_is_its_devices() -> None:
    registry = known(("192.0.2.1", "dev-1", "team"), ("192.0.2.2", "dev-2", "other"), ("192.0.2.3", None, "team"))
    assert [str(grant.address) for grant in grants(registry, exemption(group="team"))] == ["192.0.2.1"]


def test_no_grant_outlives_its_exemption() -> None:
    end, registry = NOW + timedelta(seconds=10), known(("192.0.2.1", "dev-1", None))
    (grant,) = grants(registry, exemption(end, device="dev-1"))
    assert grant.until == end
    assert grants(registry, exemption(end, device="dev-1"), now=end) == ()


def test_a_devices_own_prefix_is_granted_whole_unless_others_are_in_it() -> None:
    registry = known(("2001:db8:20:30::/64", "dev-1", None))
    assert grants(registry, exemption(device="dev-1")) == (
        Grant("lab", ip_address("2001:db8:20:30::"), ("chat",), SOON, 64),
    )
    registry.report(start("s1", "2001:db8:20:30::9/128"))
    assert grants(registry, exemption(device="dev-1")) == ()


def test_who_is_monitored_is_observed() -> None:
    monitored = Monitored(group="team", until=NOW + timedelta(days=1), reason="a test", approved_by="a tester")
    assert grants(known(("192.0.2.1", "dev-1", "team")), monitored) == (
        Grant("lab", ip_address("192.0.2.1"), (), SOON, observed=True),
    )


SIM = Subject(imsi="001010000000001")


def start(session: str, network: str = "192.0.2.7/32", who: Subject = SIM, status: Status = Status.START) -> Report:
    at_ms = int(NOW.timestamp() * 1000) - 1000
    return Report("lab", "pgw", status, at_ms, session, at_ms, prefixes=(prefix_of(ip_network(network)),), subject=who)


def roaming() -> Registry:
    """A device that is known by its SIM and its token alone."""
    device = Device("dev-1", "team")
    keys = {(Kind.IMSI, "001010000000001"): device, (Kind.TOKEN, "ab"): device, (Kind.IMEI, "00101501234567"): device}
    return Registry(Inventory((device,), keys))


def test_a_session_is_granted_while_it_is_certain() -> None:
    registry = roaming()
    holder = spared(registry, exemption(device="dev-1"))
    assert holder.grants(NOW)[0] == ()
    registry.report(start("s1"))
    assert registry.moved
    assert holder.grants(NOW)[0] == (Grant("lab", ip_address("192.0.2.7"), ("chat",), SOON),)
    assert holder.grants(NOW + timedelta(days=2))[0] == ()  # it has expired
    registry.report(start("s2", who=Subject(imsi="001019999999999")))
    assert holder.grants(NOW)[0] == ()  # another has the address now
    registry.report(start("s3", who=SIM))
    registry.report(start("s3", who=SIM, status=Status.STOP))
    assert holder.grants(NOW)[0] == ()


def test_what_a_device_shows_is_granted_wherever_it_is() -> None:
    holder = spared(roaming(), exemption(device="dev-1"))
    assert holder.grants(NOW)[1] == (ShownGrant("lab", "token:ab", ("chat",), SOON),)


@given(
    holders=st.lists(st.sampled_from(["dev-1", "dev-2", "team", "other"]), max_size=3),
    address=st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.99"]),
)
def test_law_an_unknown_device_is_spared_nothing(holders: list[str], address: str) -> None:
    registry = known(("192.0.2.1", "dev-1", "team"), ("192.0.2.2", "dev-2", "other"), ("192.0.2.0/24", None, "team"))
    exemptions = [exemption(device=each) if each.startswith("dev") else exemption(group=each) for each in holders]
    orders = Orders(1, "a", grants=grants(registry, *exemptions))
    given_ = Grants(orders).of("lab", ip_address(address), NOW)
    owner = registry.owner("lab", ip_address(address), NOW)
    if owner.device is None:
        assert given_.exempt == {}
        assert given_.observed is None
