import pytest

from enforcer.console.throttle import FREE, LONGEST_S, Throttle, network_of


def test_the_first_failures_cost_nothing() -> None:
    throttle = Throttle()
    for _ in range(FREE - 1):
        throttle.failed(["a"], 0)
    assert throttle.wait_s(["a"], 0) == 0


def test_then_each_failure_doubles_the_wait_up_to_a_limit() -> None:
    throttle = Throttle()
    waits = []
    for _ in range(FREE + 20):
        throttle.failed(["a", "b"], 100)
        waits.append(throttle.wait_s(["b"], 100))
    assert waits[FREE - 1 : FREE + 2] == [1, 2, 4]
    assert waits[-1] == LONGEST_S
    assert throttle.wait_s(["b"], 100 + LONGEST_S) <= 0
    assert throttle.wait_s(["c"], 100) == 0


def test_success_and_time_forgive() -> None:
    throttle = Throttle()
    for _ in range(9):
        throttle.failed(["a", "b"], 0)
    throttle.succeeded("a")
    assert throttle.wait_s(["a"], 0) == 0
    throttle.failed(["b"], 4000)
    assert throttle.wait_s(["b"], 4000) == 0


def test_what_is_kept_is_bounded() -> None:
    throttle = Throttle()
    throttle.failed(["first"] * 9, 0)
    for number in range(10_000):
        throttle.failed([str(number)], 0)
    assert throttle.wait_s(["first"], 0) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
    ],
)
def test_one_host_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
