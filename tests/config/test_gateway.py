from collections.abc import Callable

from enforcer.config.gateway import Connections, FailOpen
from enforcer.config.model import Config

type Changes = dict[str, object]


def test_the_gateway_is_off_and_closed_unless_somebody_says_otherwise(configured: Callable[[Changes], Config]) -> None:
    gateway = configured({}).gateway
    assert (gateway.enabled, gateway.fail_open, gateway.untouched) == (False, (), ())
    assert gateway.connections is Connections.GATE


def test_failing_open_is_written_for_each_part(configured: Callable[[Changes], Config]) -> None:
    assert configured({"gateway.fail_open": ["gate"]}).gateway.fail_open == (FailOpen.GATE,)
    assert configured({"gateway.fail_open": ["dns", "proxy"]}).gateway.fail_open == (FailOpen.DNS, FailOpen.PROXY)


def test_ports_and_words_are_checked(refused: Callable[[Changes], list[str]]) -> None:
    found = refused({"gateway.proxied": [80, 70_000], "gateway.fail_open": ["hub"], "gateway.connections": "both"})
    assert [line.partition(":")[0] for line in found] == [
        "gateway.connections",
        "gateway.proxied[1]",
        "gateway.fail_open[0]",
    ]


def test_a_name_of_an_interface_cannot_end_a_rule(refused: Callable[[Changes], list[str]]) -> None:
    (said,) = refused({"gateway.interfaces": ["lan0", 'x"; flush ruleset']})
    assert said.startswith("gateway.interfaces[1]:")
    assert "A-Z a-z 0-9" in said
