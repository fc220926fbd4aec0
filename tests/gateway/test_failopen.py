import pytest

from enforcer.gateway import nft
from enforcer.gateway.elements import elements
from enforcer.gateway.failopen import LEASE_S, Pulses, lease, opened
from enforcer.orders import Orders
from tests.gateway.namespace import alone
from tests.gateway.test_ruleset import BANNING, NOW, OPENABLE

PROCESSES = {"dns": ("dns-0", "dns-1"), "proxy": ("proxy-0",), "gate": ("gate-0", "gate-1")}
EVERY = tuple(name for names in PROCESSES.values() for name in names)
AFTER_S = 10.0


def pulses(*, silent: tuple[str, ...] = (), until_s: int) -> Pulses:
    """Heartbeats each second, but for some processes."""
    found = Pulses()
    for second in range(until_s + 1):
        found.hear({name: 1 if name in silent else 1000 + second for name in EVERY}, float(second))
    return found


def found(heard: Pulses, now_s: float, *named: str) -> set[str]:
    return set(opened(named or tuple(PROCESSES), PROCESSES, heard, AFTER_S, now_s))


def test_what_lives_is_not_opened() -> None:
    assert found(pulses(until_s=60), 60.0) == set()


@pytest.mark.parametrize(("part", "after_s"), [("dns", 10), ("proxy", 10), ("gate", 3)])
def test_a_part_is_open_when_it_has_been_dead_for_long_enough(part: str, after_s: int) -> None:
    for now_s, expected in ((after_s - 1, set()), (after_s, {part})):
        heard = pulses(silent=PROCESSES[part], until_s=now_s)
        assert found(heard, float(now_s)) == expected


def test_nothing_is_open_that_is_not_named() -> None:
    heard = pulses(silent=EVERY, until_s=600)
    assert found(heard, 600.0) == set(PROCESSES)
    assert found(heard, 600.0, "proxy") == {"proxy"}
    assert opened((), PROCESSES, heard, AFTER_S, 600.0) == frozenset()


def test_one_process_that_lives_keeps_the_resolver_closed_and_each_gate_has_a_queue_of_its_own() -> None:
    heard = pulses(silent=("dns-1", "gate-1"), until_s=60)
    assert found(heard, 60.0) == {"gate"}


def test_it_closes_with_the_first_sign_of_life() -> None:
    heard = pulses(silent=PROCESSES["dns"], until_s=60)
    heard.hear({"dns-1": 5000}, 61.0)
    assert found(heard, 61.0) == set()


def test_a_heartbeat_that_goes_back_is_a_sign_of_life_and_one_that_is_far_ahead_no_other() -> None:
    heard = Pulses()
    heard.hear({"proxy-0": 9_000_000}, 0.0)
    heard.hear({"proxy-0": 1_000}, 9.0)  # the clock was set back
    assert found(heard, 15.0, "proxy") == set()
    assert found(heard, 19.0, "proxy") == {"proxy"}


def test_what_a_gateway_finds_when_it_begins_is_no_death() -> None:
    heard = Pulses()
    assert found(heard, 1000.0) == set()
    heard.hear(dict.fromkeys(EVERY, 0), 1000.0)
    assert found(heard, 1001.0) == set()


def test_a_part_of_no_process_is_never_opened() -> None:
    assert opened(("proxy",), {"proxy": ()}, Pulses(), AFTER_S, 1000.0) == frozenset()


def test_what_is_opened_lapses_by_itself_and_an_empty_lease_closes_at_once() -> None:
    def play() -> None:
        kernel = nft.probe()
        nft.apply(OPENABLE, kernel, elements(OPENABLE, kernel, BANNING, Orders(1, ""), NOW), NOW)
        assert nft.opened() == []
        for ports in ((53, 80), (8080,), (8080,)):  # again: a lease is made longer, not refused
            nft.load(lease(ports))
            assert nft.opened() == sorted(ports)
        assert f"8080 timeout {LEASE_S}s expires" in nft.shown()
        wanted = elements(OPENABLE, kernel, BANNING, Orders(1, ""), NOW)
        assert nft.differences(OPENABLE, kernel, wanted, NOW) == []
        nft.load(lease(()))
        assert nft.opened() == []

    alone(play)
