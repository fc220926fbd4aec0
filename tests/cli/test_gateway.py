import json
from pathlib import Path

import pytest

from enforcer.gateway import nft
from enforcer.orders import Orders, encode_orders
from enforcer.processes.policy import compile_config
from tests.cli.site import CONFIG, Run, write_config
from tests.gateway.namespace import alone
from tests.records import NOON_MS, moment


@pytest.fixture
def gateway(site: Path) -> Path:
    """A site whose resolver can be redirected to."""
    config = json.loads(json.dumps(CONFIG))
    config["gateway"] = {"enabled": True, "interfaces": ["lan0"]}
    config["proxy"] = {"modes": ["transparent@5081"]}
    config["resolver"] = {
        **config["resolver"],
        "listeners": [
            {"name": name, "udp": at, "tcp": at}
            for name, at in (("dns", "10.20.0.53:53"), ("dns6", "[2001:db8:20::53]:53"))
        ],
    }
    config["realms"] = [{"name": "lab", "networks": ["10.20.0.0/16", "2001:db8:20::/48"], "listeners": ["dns", "dns6"]}]
    write_config(site, config)
    return site


def test_a_plan_needs_no_privilege_and_changes_nothing(run: Run, gateway: Path) -> None:
    plan = run("gateway", "plan", "--config", str(gateway / "enforcer.yaml")).output
    assert "table inet enforcer {" in plan
    assert "add element inet enforcer banned4 { 198.51.100.7/32 }" in plan
    assert "203.0.113.0/24 . udp . 853" in plan
    assert "dnat ip to 10.20.0.53:53" in plan
    alone(lambda: nft.check(run("gateway", "plan", "--config", str(gateway / "enforcer.yaml")).output))


def test_the_plan_of_the_policy_in_force(run: Run, gateway: Path) -> None:
    path = gateway / "enforcer.yaml"
    from enforcer.config.load import load  # noqa: PLC0415

    compiled = compile_config(path, load(path), moment(NOON_MS))
    (gateway / "data" / "run").mkdir(parents=True)
    (gateway / "data" / "run" / "orders").write_bytes(encode_orders(Orders(7, compiled.sha256)))
    (gateway / "data" / "run" / "enforcer.yaml").write_text(path.read_text())
    (gateway / "chat.yaml").write_text("")  # what is being edited is not what is in force
    assert "198.51.100.7/32" in run("gateway", "plan").output


def test_apply_check_show_and_remove(run: Run, gateway: Path) -> None:
    def play() -> None:
        assert run("gateway", "check").exit_code == 1
        assert run("gateway", "check").output == "table inet enforcer is not there\n"
        assert run("gateway", "show").output == "nothing of ours is in the kernel\n"
        assert run("gateway", "apply").output.startswith("applied: ")
        done = run("gateway", "check")
        assert (done.exit_code, done.output) == (0, "the kernel has what the policy wants\n")
        assert "chain steer" in run("gateway", "show").output
        nft.load("add element inet enforcer banned4 { 192.0.2.1 }\n")
        done = run("gateway", "check", "--json")
        assert (done.exit_code, json.loads(done.output)) == (
            1,
            {"differences": ['set banned4 has besides 1: "192.0.2.1"']},
        )
        shown = json.loads(run("gateway", "show", "--json").output)
        assert (shown["applied"], shown["counters"]["counted"]) == (True, 0)
        assert run("gateway", "remove").output == "removed: connections are not judged any more\n"
        assert not json.loads(run("gateway", "show", "--json").output)["applied"]

    alone(play)


def test_every_command_shows_an_example(run: Run) -> None:
    for words in (["gate"], ["gateway"], *(["gateway", each] for each in ("show", "plan", "apply", "remove", "check"))):
        assert f"Example: enforcer {words[0]}" in run(*words, "--help").output
