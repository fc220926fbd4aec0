import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.policy.names import ROOT, display, parse
from enforcer.policy.patterns import matches, matches_below, read_pattern
from enforcer.policy.protections import covers
from enforcer.policy.rules import Kind
from enforcer.wire.name import parents

CHAT = r"^wx[0-9]+\.qq\.test$"


@pytest.mark.parametrize(
    ("text", "tails"),
    [
        (CHAT, ["qq.test"]),
        (r"^a\.test$", ["a.test"]),
        (r"^[a-z]{0,4}mm(sns|biz)\.pic\.test$", ["pic.test"]),
        (r"^x[a-z]*-(a|b)\.pic\.test(\.cn)?$", ["pic.test", "pic.test.cn"]),
        (r"^(?:f|thumb)\.tc\.test$", ["f.tc.test", "thumb.tc.test"]),
        (r"^[a-z]{2}\.kis\.(v2\.)?scr\.test$", ["kis.scr.test", "kis.v2.scr.test"]),
        (r"^dnl-\d{1,2}\.geo\.test$", ["geo.test"]),
        (r"^[^.]+\.a_b\.test$", ["a_b.test"]),
        (r"^(a|b\.)c\.test$", ["ac.test", "b.c.test"]),
        (r"^[a-z]+(|\.)qq\.test$", ["test"]),
    ],
)
def test_a_pattern_knows_the_names_at_or_below_which_it_matches(text: str, tails: list[str]) -> None:
    assert sorted(map(display, read_pattern(text).tails)) == sorted(tails)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("wx[0-9]+", "is not anchored"),
        (r"^wx[0-9]+\.qq\.test", "is not anchored"),
        (r"^wx\$", "is not anchored"),
        ("^" + "a" * 200 + r"\.test$", "at most 200"),
        (r"^(a)\1\.qq\.test$", "may follow a backslash"),
        (r"^(?=wx)[a-z]+\.qq\.test$", "character 3"),
        (r"^(?<!wx)a\.qq\.test$", "character 3"),
        (r"^(a+)+\.qq\.test$", "not repeated"),
        (r"^(a|b){3}\.qq\.test$", "not repeated"),
        (r"^[a-z]*[a-z]*[a-z]*\.qq\.test$", "can be slow"),
        (
            r"^(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)\.qq\.test$",
            "be slow",
        ),
        (r"^WX\.qq\.test$", "character 2: write lower-case"),
        (r"^[A-Z]\.qq\.test$", "character 3: write lower-case"),
        (r"^.*wechat.*$", "does not end in a written-out name"),
        (r"^wechat[a-z]+$", "does not end in a written-out name"),
        (r"^a|b\.qq\.test$", "only inside of a group"),
        (r"^a)\.qq\.test$", "only inside of a group"),
        (r"^(a\.qq\.test$", "close the group"),
        (r"^[a\.qq\.test$", "write lower-case"),
        (r"^[z-a]\.qq\.test$", "range"),
        (r"^[a-9]\.qq\.test$", "range"),
        (r"^a{2,1}\.qq\.test$", "smaller to the larger"),
        (r"^a{0}\.qq\.test$", "smaller to the larger"),
        (r"^a{x}\.qq\.test$", "write a repeat"),
        (r"^a+?\.qq\.test$", "character 4"),
        (r"^[^a-z0-9_.-]\.qq\.test$", "matches nothing"),
        (r"^[]\.qq\.test$", "matches nothing"),
        (r"^[^]a]\.qq\.test$", "matches nothing"),
        (r"^[a-z]{64}\.qq\.test$", "is no name"),
        (r"^\.[a-z]\.qq\.test$", "is no name"),
        ("^$", "does not end"),
    ],
)
def test_what_could_be_slow_or_match_strangers_is_refused(text: str, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        read_pattern(text)


def test_a_pattern_describes_the_whole_name() -> None:
    assert matches(CHAT, "wx12.qq.test")
    assert not matches(CHAT, "wx.qq.test")
    assert not matches(CHAT, "awx1.qq.test")
    assert not matches(CHAT, "wx1.qq.test.org")
    assert not matches(CHAT, "wx1xqqxtest")


@pytest.mark.parametrize(
    ("text", "below"),
    [
        (r"^wx[0-9]+\.qq\.test$", {"qq.test"}),
        (r"^wx.*\.qq\.test$", {"qq.test", "a.qq.test", "b.a.qq.test"}),
        (r"^[a-z]{3}\.a\.qq\.test$", {"qq.test", "a.qq.test"}),
        (r"^x(y|\.a)?\.qq\.test$", {"qq.test", "a.qq.test"}),
        (r"^x(\.b)?(\.a|\.c)\.qq\.test$", {"qq.test", "a.qq.test", "b.a.qq.test"}),
        (r"^[^.]{2,9}\.[a-c.]{3,}qq\.test$", {"qq.test", "a.qq.test", "b.a.qq.test"}),
        (r"^a\.qq\.test$", {"qq.test"}),
        (r"^.qq\.test$", set()),
    ],
)
def test_a_pattern_knows_below_which_names_it_matches(text: str, below: set[str]) -> None:
    names = ("qq.test", "a.qq.test", "b.a.qq.test", "q.test")
    assert {name for name in names if matches_below(read_pattern(text).text, name)} == below


SEQUENCES = st.recursive(
    st.sampled_from(["a", "b0", r"\.", "[a-c]", "[^.]", ".", r"\d", "x?", "[0-9]{1,2}", "b{2}", "c+"]),
    lambda inner: (
        st.lists(st.lists(inner, max_size=3).map("".join), min_size=1, max_size=3).map(
            lambda branches: f"({'|'.join(branches)})"
        )
        | inner.map(lambda one: f"(?:{one})?")
    ),
    max_leaves=6,
)
PATTERNS = st.lists(SEQUENCES, max_size=5).map(lambda parts: f"^{''.join(parts)}\\.qq\\.test$")


@given(PATTERNS, st.data())
def test_every_match_of_a_pattern_lies_at_or_below_one_of_its_tails(text: str, data: st.DataObject) -> None:
    try:
        pattern = read_pattern(text)
    except Malformed:
        return
    shown = data.draw(st.from_regex(re.compile(text[1:-1], re.ASCII), fullmatch=True))
    try:
        name = parse(shown)
    except Malformed:
        return
    if display(name) == shown:
        assert any(covers(Kind.SUFFIX, tail, name) for tail in pattern.tails)
        assert all(matches_below(text, display(above)) for above in parents(name) if above != ROOT)


@given(PATTERNS)
def test_a_pattern_matches_its_own_example(text: str) -> None:
    try:
        pattern = read_pattern(text)
    except Malformed:
        return
    assert matches(text, pattern.example)
    assert display(parse(pattern.example)) == pattern.example


@given(st.text("^$()[]{}|?*+\\.,-_abz019A ", max_size=30))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        pattern = read_pattern(text)
    except Malformed:
        return
    assert matches(text, pattern.example)
