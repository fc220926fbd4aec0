import re
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Mistakes
from enforcer.policy.lists import _LIST_KEYS, _RULE_KEYS, BlockList, Title, read_list
from enforcer.policy.protections import Protection
from enforcer.policy.rules import Answer, Confidence, Evidence, Kind, Mode, Port, Rule, Transport
from tests.policy.made import TODAY, list_text

SHIPPED = sorted((Path(__file__).parents[2] / "blocklists").glob("*.yaml"))

WHOLE = """\
service: chat
ban: tbs-1
title: {en: Chat, fr: Causette}
vendor: Example Ltd.
version: 2026.11.1
mode: monitor
answer: sinkhole
sources:
  DOC: "docs.test: the vendor's page"
  CAP: our own capture
rules:
  - {suffix: Chat.test, part: general, evidence: shared, confidence: official, source: "DOC, CAP", seen: 2026-04-02}
  - {cidr: 203.0.113.0/24, ports: [tcp/8080, udp/443], part: media, evidence: app, confidence: single, source: CAP,
     seen: 2026, expires: 2027-04-30}
never_block:
  - {exact: cdn.test, why: "a network with many customers", source: DOC}
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(Mistakes) as error:
        read_list(text, "lists/chat.yaml", TODAY)
    return [str(mistake) for mistake in error.value.mistakes]


def without(text: str, *lines: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(lines))


def test_a_whole_list_is_read() -> None:
    read = read_list(WHOLE, "lists/chat.yaml", TODAY)
    first = Rule(
        kind=Kind.SUFFIX,
        trigger="chat.test",
        list="chat",
        file="lists/chat.yaml",
        line=12,
        service="chat",
        part="general",
        evidence=Evidence.SHARED,
        confidence=Confidence.OFFICIAL,
        source="DOC, CAP",
        seen="2026-04-02",
        ban="tbs-1",
        mode=Mode.MONITOR,
        answer=Answer.SINKHOLE,
    )
    assert read.rules[0] == first
    assert read.rules[1].ports == (Port(Transport.TCP, 8080), Port(Transport.UDP, 443))
    assert read.rules[1].expires == date(2027, 4, 30)
    kept = Protection(Kind.EXACT, "cdn.test", "a network with many customers", "chat", "lists/chat.yaml", 16, "DOC")
    assert read.never_block == (kept,)
    assert (read.name, read.service, read.title, read.vendor) == (
        "chat",
        "chat",
        Title("Chat", "Causette"),
        "Example Ltd.",
    )
    assert dict(read.sources) == {"DOC": "docs.test: the vendor's page", "CAP": "our own capture"}
    assert read.warnings == ()


def test_what_may_be_left_out_has_a_default() -> None:
    text = without(WHOLE, "ban", "mode", "answer", "never_block", "  - {exact")
    read = read_list(text, "chat.yaml", TODAY)
    assert (read.ban, read.mode, read.answer, read.never_block) == (None, Mode.ENFORCE, None, ())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_lists_have_no_mistake(path: Path) -> None:
    read = read_list(path.read_text(encoding="utf-8"), str(path), TODAY)
    assert read.rules
    assert read.warnings == ()


def test_the_reference_has_every_key_part_and_list_and_its_example_is_a_list() -> None:
    folder = SHIPPED[0].parent
    text = (folder / "README.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`]+)`", "".join(line for line in text.splitlines() if line.startswith("|"))))
    shipped = [read_list(path.read_text(encoding="utf-8"), str(path), TODAY) for path in SHIPPED]
    parts = {rule.part for each in shipped for rule in each.rules}
    assert {*_LIST_KEYS, *_RULE_KEYS, *(path.name for path in SHIPPED), *parts} <= words
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert len(read_list(example, "examplechat.yaml", TODAY).rules) == 4


def test_every_mistake_is_reported_at_once_with_its_line() -> None:
    text = (
        WHOLE.replace("Chat.test", "'chat,test'")
        .replace("evidence: shared", "evidence: sure")
        .replace("mode: monitor", "mood: x")
    )
    assert mistakes(text.replace("2027-04-30", "soon")) == [
        'lists/chat.yaml:6: the list has an unknown key "mood"; did you mean "mode"?',
        'lists/chat.yaml:12: evidence "sure" is not known; write one of app, web, shared',
        'lists/chat.yaml:12: "chat,test" is not a domain name; did you mean "chat.test"?',
        'lists/chat.yaml:14: expires "soon" is not a date; write the first day without the rule, as "2027-06-30"',
    ]


RULE = "suffix: chat.test, part: general, evidence: shared, confidence: official, source: DOC, seen: 2026"


@pytest.mark.parametrize(
    ("before", "after", "line", "what"),
    [
        ("service: chat", "service: We Chat", 1, 'service "We Chat"; write it with a-z, 0-9 and "-"'),
        ("service: chat\n", "", 1, 'the list has no "service"; add it'),
        (", fr: Causette", "", 3, 'title has no "fr"; add it'),
        ("title: {en: Chat, fr: Causette}", "title: Chat", 3, "title has no keys; write {en: …}"),
        ("version: 2026.11.1", "version: 2", 5, 'version "2"; write year, month and number, as in "2026.11.1"'),
        ("ban: tbs-1", "ban: " + "x" * 201, 2, "ban has 201 characters; write at most 200"),
        ("mode: monitor", "mode: on", 6, 'mode "on" is not known; write one of enforce, monitor'),
        (
            "answer: sinkhole",
            "answer: drop",
            7,
            'answer "drop" is not known; write one of nxdomain, nodata, null, sinkhole',
        ),
        ("  CAP:", '  "CAP,2":', 10, 'source code "CAP,2" has a comma, which separates codes; take it out'),
        ("suffix: Chat.test", "suffix: chat.test, exact: a.test", 12, "both exact and suffix; write exactly one of"),
        (
            "suffix: Chat.test, ",
            "",
            12,
            "nothing to match; write exactly one of exact, suffix, regex, cidr, fingerprint, ",
        ),
        ("evidence: shared, ", "", 12, 'the rule has no "evidence"; add it'),
        ("part: general", "part: ''", 12, "part is empty; fill it, or take it out"),
        ("part: general", "part: [a]", 12, "part is not one value; write text"),
        ("part: general", 'part: "a\\tb"', 12, "part has a character that does not print; take it out"),
        (
            "Chat.test",
            "chat,test",
            12,
            '"chat,test" has a comma, which ends a value; write a dot, or put the value in ',
        ),
        ("part: general", "parts: general", 12, 'the rule has an unknown key "parts"; did you mean "part"?'),
        ('source: "DOC, CAP"', "source: DOK", 12, 'source "DOK" is not among sources; did you mean "DOC"?'),
        (
            "seen: 2026-04-02",
            "seen: 2026-13",
            12,
            'seen "2026-13" is not a date; write "2026", "2026-04" or "2026-04-02"',
        ),
        ("seen: 2026-04-02", "seen: 2026-04-02, ports: [tcp/1]", 12, "ports beside suffix; only a cidr rule has ports"),
        (
            "203.0.113.0/24",
            "203.0.113.1/24",
            13,
            'network "203.0.113.1/24" has bits behind its prefix; write "203.0.113.0/24"',
        ),
        ("udp/443", "tls/443", 13, 'port "tls/443" is not a port; write transport and number, as in "tcp/443"'),
        ("udp/443", "udp/65536", 13, 'port "udp/65536" is not a port'),
        ("udp/443", "tcp/8080", 13, 'port "tcp/8080" is written twice; keep one'),
        ("[tcp/8080, udp/443]", "tcp/8080", 13, "ports is not a list; write one item a line, behind a dash"),
        ("[tcp/8080, udp/443]", "[]", 13, "ports is empty; fill it, or take it out"),
        ("expires: 2027-04-30", "expires: 2027", 14, 'expires "2027" is not a date'),
        (', why: "a network with many customers"', "", 16, 'the never_block entry has no "why"; add it'),
        ("exact: cdn.test", "regex: ^a$", 16, 'the never_block entry has an unknown key "regex"'),
        ("exact: cdn.test", "exact: cdn..test", 16, '"cdn..test" is not a domain name; did you mean "cdn.test"?'),
        (
            "service: chat\n",
            "service: chat\nservice: chat\n",
            2,
            'key "service" is written twice, first in line 1; keep one',
        ),
    ],
)
def test_a_mistake_says_what_to_write_instead(before: str, after: str, line: int, what: str) -> None:
    assert before in WHOLE
    found = mistakes(WHOLE.replace(before, after))
    assert any(each.startswith(f"lists/chat.yaml:{line}: {what}") for each in found), found


def test_a_list_without_rules_is_refused() -> None:
    assert mistakes(WHOLE[: WHOLE.index("rules:")] + "rules: []\n") == [
        "lists/chat.yaml:11: rules is empty; fill it, or take it out"
    ]


@pytest.mark.parametrize(
    ("text", "what"), [("", "the list is empty; begin with its service"), ("- a\n", "the list has no keys")]
)
def test_what_is_no_list_is_refused(text: str, what: str) -> None:
    assert what in mistakes(text)[0]


def test_a_fault_in_the_yaml_is_one_mistake() -> None:
    assert len(mistakes("service: [chat\ntitle: x\n")) == 1


def test_the_file_must_have_a_name_that_can_begin_the_ids_of_rules() -> None:
    with pytest.raises(Mistakes, match=r'"my list" cannot name a list; name the file with a-z, 0-9 and "-"'):
        read_list(WHOLE, "lists/my list.yaml", TODAY)


@pytest.mark.parametrize(("expires", "warned"), [("2026-11-23", True), ("2026-11-24", True), ("2026-11-25", False)])
def test_an_expired_rule_is_a_warning_and_stays(expires: str, warned: bool) -> None:
    read = read_list(WHOLE.replace("2027-04-30", expires), "chat.yaml", TODAY)
    assert len(read.rules) == 2
    expected = f'chat.yaml:13: rule "chat/cidr/203.0.113.0/24" expired on {expires}; renew it or take it out'
    assert [str(warning) for warning in read.warnings] == ([expected] if warned else [])


def test_a_rule_that_covers_what_devices_need_is_a_warning() -> None:
    read = read_list(list_text(["suffix: apple.com"]), "chat.yaml", TODAY)
    assert (
        "chat.yaml:8: suffix apple.com covers push.apple.com; devices need push messages, through which devices "
        in str(read.warnings[0])
    )


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ("suffix: test", True),
        (r"regex: '^.*chat.*\.test$'", True),
        (r"regex: '^(a\.b|c)\.test$'", False),
        ("exact: test", False),
        ("suffix: chat.test", False),
    ],
)
def test_a_rule_for_a_whole_top_level_domain_is_a_warning(rule: str, warned: bool) -> None:
    found = [str(each) for each in read_list(list_text([rule]), "chat.yaml", TODAY).warnings]
    assert [each.startswith("chat.yaml:8: ") and "a whole top-level domain" in each for each in found] == [
        True
    ] * warned


def test_a_rule_inside_of_a_suffix_may_name_another_part() -> None:
    assert len(read_list(list_text(["suffix: chat.test", "exact: pay.chat.test"]), "chat.yaml", TODAY).rules) == 2


def test_what_the_lines_say_against_each_other_is_reported_with_both_lines() -> None:
    text = list_text(["suffix: chat.test", "suffix: chat.test"], ["exact: www.chat.test"])
    assert mistakes(text) == [
        "lists/chat.yaml:8: suffix chat.test covers www.chat.test, which line 11 protects; narrow one of the two",
        "lists/chat.yaml:9: suffix chat.test is written twice, first in line 8; keep one",
    ]


@given(st.text(max_size=300) | st.text("abc:-{}[],'\"\n #*&!|>%@`", max_size=60))
def test_any_text_is_a_list_or_mistakes(text: str) -> None:
    with suppress(Mistakes):
        assert isinstance(read_list(text, "chat.yaml", TODAY), BlockList)


@given(st.data())
def test_a_list_with_any_line_damaged_is_a_list_or_mistakes(data: st.DataObject) -> None:
    lines = WHOLE.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(st.text(max_size=20) | st.just(lines[at][:20]))
    with suppress(Mistakes):
        assert isinstance(read_list("\n".join(lines), "chat.yaml", TODAY), BlockList)


def test_a_name_rule_may_be_dedicated_and_no_other() -> None:
    text = list_text(["exact: a.test, dedicated: true", "suffix: b.test, dedicated: false", "exact: c.test"])
    assert [rule.dedicated for rule in read_list(text, "chat.yaml", TODAY).rules] == [True, False, False]
    for wrong, said in (
        ("cidr: 192.0.2.0/24, dedicated: true", "only an exact or suffix rule can be"),
        ("exact: a.test, dedicated: yes", "write true, or leave it out"),
    ):
        with pytest.raises(Mistakes, match=said):
            read_list(list_text([wrong]), "chat.yaml", TODAY)
