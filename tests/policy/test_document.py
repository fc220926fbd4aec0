import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Mistake
from enforcer.policy.document import Mapping, Node, Sequence, Text, read_document


def read(text: str) -> tuple[Node | None, list[Mistake]]:
    mistakes: list[Mistake] = []
    return read_document(text, "x.yaml", mistakes), mistakes


def test_every_value_knows_its_line_and_is_text() -> None:
    node, mistakes = read("a: no\nb:\n  - 1.10\n  - {c: 2026-01-01, d: ~}\n")
    assert mistakes == []
    assert isinstance(node, Mapping)
    assert node.values["a"] == Text("no", 1)
    assert node.lines == {"a": 1, "b": 2}
    b = node.values["b"]
    assert isinstance(b, Sequence)
    assert b.items[0] == Text("1.10", 3)
    assert b.items[1] == Mapping({"c": Text("2026-01-01", 4), "d": Text("~", 4)}, {"c": 4, "d": 4}, 4)


def test_nothing_but_comments_is_no_document() -> None:
    assert read("# nothing\n\n") == (None, [])


def test_a_key_that_is_written_twice_names_both_lines_and_the_first_stays() -> None:
    node, mistakes = read("a: 1\nb: 2\na: 3\n")
    assert isinstance(node, Mapping)
    assert node.values["a"] == Text("1", 1)
    assert mistakes == [Mistake("x.yaml", 3, 'key "a" is written twice, first in line 1; keep one')]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: 1\nb: [1,\n", 3, "not YAML: "),
        ("a: 1\nb: @x\n", 2, "not YAML: "),
        ("a: 1\nb: \x07\n", 2, "not YAML: character U+0007; take it out"),
        ("# ééé\na: \0\n#\n", 2, "not YAML: character U+0000; take it out"),
        ("a: &x 1\nb: *x\n", 2, 'alias "*x"; write out what it stands for'),
        ("a: 1\nb: !!python/name:os.system x\n", 2, "tag "),
        ("a: 1\n---\nb: 2\n", 3, 'a second document; take out the "---" between the two'),
        ("? [a]\n: 1\n", 1, "a key that is not text"),
        ("a:\n  " + "[" * 20 + "]" * 20 + "\n", 2, "nested more than 8 deep"),
    ],
)
def test_what_is_not_plain_yaml_is_one_mistake_with_its_line(text: str, line: int, what: str) -> None:
    node, mistakes = read(text)
    assert node is None
    assert [mistake.line for mistake in mistakes] == [line]
    assert mistakes[0].what.startswith(what)


def test_a_bomb_of_aliases_is_refused_at_the_first_one() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
    assert [mistake.line for mistake in read(bomb)[1]] == [2]


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_mistake(text: str) -> None:
    node, mistakes = read(text)
    assert node is None or not any("not YAML" in mistake.what for mistake in mistakes)


def test_nesting_without_end_is_refused_and_not_followed() -> None:
    _, mistakes = read("- " * 50_000)
    assert len(mistakes) == 1
