import dataclasses

from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Destination, Layer
from tests.policy.made import CLIENT, NOW, a_list, a_policy, third_party, to

SPARED = "; it does not count, since"
CDN = "lists/chat.yaml:11: exact cdn.test (neighbour)"


def why(destination: Destination, mode: Mode = Mode.ENFORCE) -> tuple[str, ...]:
    policy = a_policy(
        a_list("suffix: chat.test", "cidr: 203.0.113.0/24, ports: [tcp/443]", never_block=["exact: cdn.test"]),
        a_list("suffix: seen.test", name="seen", service="seen", more="mode: monitor"),
        third_party("cdn.test\n"),
    )
    return policy.judge(destination, dataclasses.replace(CLIENT, mode=mode), NOW, explain=True).why


def test_a_block_names_the_rule_with_its_file_line_and_source() -> None:
    assert why(to("a.chat.test")) == (
        'Layer dns shows the name "a.chat.test"',
        "lists/chat.yaml:8 matches: suffix chat.test, chat general-0, source DOC",
        "Blocked as chat/suffix/chat.test; a question is answered with nxdomain",
    )


def test_only_a_question_has_an_answer() -> None:
    assert why(to("a.chat.test", Layer.TLS, port="tcp/443"))[-1] == "Blocked as chat/suffix/chat.test"


def test_a_rule_that_does_not_count_says_why() -> None:
    assert why(to(layer=Layer.DNS, address="203.0.113.9")) == (
        "Layer dns shows the address 203.0.113.9",
        f"lists/chat.yaml:9 matches: cidr 203.0.113.0/24, chat general-1, source DOC{SPARED} it is for tcp/443 alone",
        "Allowed",
    )


def test_a_protection_is_named_with_its_line_and_reason() -> None:
    assert why(to("cdn.test"))[1:] == (
        f"others.txt:1 matches: suffix cdn.test, others other, source others{SPARED} the name is protected: {CDN}",
        "Allowed",
    )


def test_what_matches_nothing_says_so() -> None:
    assert why(to("other.test", Layer.HTTP, port="tcp/80", path="/x")) == (
        'Layer http shows the name "other.test", a path, the port tcp/80',
        "No rule matches",
        "Allowed",
    )
    assert why(to(layer=Layer.MMTLS, fingerprint="other"))[0] == "Layer mmtls shows the fingerprint other"


def test_what_is_only_observed_says_on_whose_account() -> None:
    assert why(to("chat.test"), Mode.MONITOR)[-1] == (
        "Observed as chat/suffix/chat.test, not blocked, since the realm is in monitor mode"
    )
    assert why(to("seen.test"))[1:] == (
        "lists/seen.yaml:8 matches: suffix seen.test, seen general-0, source DOC, in a list that only observes",
        "Observed as seen/suffix/seen.test, not blocked, since the list is in monitor mode",
    )
