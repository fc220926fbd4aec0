import dataclasses
from pathlib import Path

from enforcer.policy.compiled import PolicySettings
from enforcer.policy.lists import read_list
from enforcer.policy.protections import Protection
from enforcer.policy.rules import Kind
from enforcer.policy.selftest import self_test, tried
from tests.policy.made import TODAY, a_list, a_policy, to

FOLDER = Path(__file__).parents[2] / "blocklists"
LIST = a_list(
    "suffix: chat.test",
    "exact: wx.pay.test",
    r"regex: '^wx[0-9]+\.qq\.test$'",
    "cidr: 203.0.113.0/24, expires: 0202-01-01",
    "cidr: 198.51.100.0/24, ports: [tcp/443, udp/443]",
    "fingerprint: mmtls",
    "http_path: /mmtls/",
    "http_path: dl.test/app/",
    never_block=["suffix: mail.qq.test", "exact: qq.test"],
)


def test_a_policy_that_does_what_its_lists_say_passes() -> None:
    assert self_test(a_policy(LIST)) == []
    assert self_test(a_policy(a_list("suffix: chat.test", more="mode: monitor"))) == []


def test_the_shipped_lists_pass_together() -> None:
    lists = [read_list(path.read_text(encoding="utf-8"), path.name, TODAY) for path in FOLDER.glob("*.yaml")]
    assert len(lists) >= 4
    assert self_test(a_policy(*lists, settings=PolicySettings(upstreams=("9.9.9.9",)))) == []


def test_a_rule_that_lets_its_own_trigger_through_fails() -> None:
    rules = tuple(dataclasses.replace(rule, trigger="other.test") if rule.line == 9 else rule for rule in LIST.rules)
    policy = a_policy(LIST)
    broken = dataclasses.replace(policy, lists=(dataclasses.replace(policy.lists[0], rules=rules),))
    assert self_test(broken) == ["lists/chat.yaml:9: chat/exact/other.test lets through what it is written for"]


def test_a_protected_name_that_its_own_list_blocks_fails() -> None:
    kept = Protection(Kind.SUFFIX, "a.chat.test", "neighbour", "chat", "lists/chat.yaml", 20)
    broken = a_policy(dataclasses.replace(LIST, never_block=(*LIST.never_block, kept)))
    failure = "lists/chat.yaml:20: suffix a.chat.test (neighbour): chat/suffix/chat.test in line 8 blocks it"
    assert self_test(broken) == [failure, failure]


def test_a_suffix_is_tried_at_its_name_and_below_unless_no_name_is_longer() -> None:
    assert list(tried(LIST.rules[0])) == [to("chat.test"), to("a.chat.test")]
    longest = ".".join(["x" * 63, "x" * 63, "x" * 63, "x" * 61])
    assert list(tried(dataclasses.replace(LIST.rules[0], trigger=longest))) == [to(longest)]
