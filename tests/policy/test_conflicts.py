from datetime import date

import pytest

from enforcer.policy.conflicts import conflicts, covering
from enforcer.policy.protections import Protection
from enforcer.policy.rules import Confidence, Evidence, Kind, Rule


def rule(kind: Kind, trigger: str, line: int = 1, part: str = "general", expires: date | None = None) -> Rule:
    return Rule(
        kind, trigger, "chat", "chat.yaml", line, "chat", part, Evidence.APP, Confidence.SINGLE, "DOC", expires=expires
    )


def kept(kind: Kind, name: str, line: int = 9) -> Protection:
    return Protection(kind, name, "neighbour", "chat", "chat.yaml", line)


def test_lines_that_agree_are_no_conflict() -> None:
    rules = [
        rule(Kind.SUFFIX, "weixin.qq.test"),
        rule(Kind.EXACT, "wx.qq.test", 2),
        rule(Kind.EXACT, "weixin.qq.test", 3, "x"),
    ]
    assert list(conflicts(rules, [kept(Kind.EXACT, "qq.test"), kept(Kind.SUFFIX, "mail.qq.test")])) == []


def test_a_rule_or_protection_that_is_written_twice_is_told_with_the_first_line() -> None:
    rules = [rule(Kind.EXACT, "a.test", 1), rule(Kind.EXACT, "a.test", 2, "x"), rule(Kind.CIDR, "203.0.113.0/24", 3)]
    rules.append(rule(Kind.CIDR, "203.0.113.0/24", 4))
    assert [
        (each.line, each.what) for each in conflicts(rules, [kept(Kind.EXACT, "b.test", 8), kept(Kind.EXACT, "b.test")])
    ] == [
        (2, "exact a.test is written twice, first in line 1; keep one"),
        (4, "cidr 203.0.113.0/24 is written twice, first in line 3; keep one"),
        (9, "exact b.test is protected twice, first in line 8; keep one"),
    ]


def test_a_rule_inside_of_a_suffix_of_the_same_part_adds_nothing() -> None:
    rules = [rule(Kind.EXACT, "a.b.test", 1), rule(Kind.SUFFIX, "b.test", 2), rule(Kind.EXACT, "b.test", 3, "media")]
    assert [str(each) for each in conflicts(rules, ())] == [
        "chat.yaml:1: exact a.b.test adds nothing to suffix b.test in line 2; take it out, or name another part"
    ]


def test_a_rule_that_outlives_the_suffix_around_it_adds_something() -> None:
    soon, later = date(2027, 1, 1), date(2028, 1, 1)
    wider = rule(Kind.SUFFIX, "b.test", 2, expires=soon)
    assert list(conflicts([wider, rule(Kind.EXACT, "a.b.test")], ())) == []
    assert list(conflicts([wider, rule(Kind.EXACT, "a.b.test", expires=later)], ())) == []
    assert len(list(conflicts([wider, rule(Kind.EXACT, "a.b.test", expires=soon)], ()))) == 1


@pytest.mark.parametrize(
    ("kind", "trigger", "protected", "covers"),
    [
        (Kind.EXACT, "qq.test", (Kind.EXACT, "qq.test"), True),
        (Kind.EXACT, "a.qq.test", (Kind.EXACT, "qq.test"), False),
        (Kind.SUFFIX, "qq.test", (Kind.EXACT, "qq.test"), True),
        (Kind.SUFFIX, "test", (Kind.EXACT, "qq.test"), True),
        (Kind.SUFFIX, "q.test", (Kind.EXACT, "qq.test"), False),
        (Kind.SUFFIX, "qq.test", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.SUFFIX, "wx.mail.qq.test", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.EXACT, "mail.qq.test", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.EXACT, "wx.mail.qq.test", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.EXACT, "wx.mail.qq.test", (Kind.EXACT, "mail.qq.test"), False),
        (Kind.REGEX, r"^[a-z]+\.qq\.test$", (Kind.EXACT, "mail.qq.test"), True),
        (Kind.REGEX, r"^wx[0-9]+\.qq\.test$", (Kind.EXACT, "mail.qq.test"), False),
        (Kind.REGEX, r"^wx[0-9]+\.mail\.qq\.test$", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.REGEX, r"^[a-z.]+\.qq\.test$", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.REGEX, r"^wx.*\.qq\.test$", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.REGEX, r"^wx[^.]*\.qq\.test$", (Kind.SUFFIX, "mail.qq.test"), False),
        (Kind.REGEX, r"^mail\.qq\.test$", (Kind.SUFFIX, "mail.qq.test"), True),
        (Kind.HTTP_PATH, "mail.qq.test/wx/", (Kind.EXACT, "mail.qq.test"), False),
    ],
)
def test_a_rule_covers_a_protected_name_by_labels(
    kind: Kind, trigger: str, protected: tuple[Kind, str], covers: bool
) -> None:
    found = list(covering([rule(kind, trigger)], [kept(*protected)]))
    assert bool(found) is covers
    assert bool(list(conflicts([rule(kind, trigger)], [kept(*protected)]))) is covers
