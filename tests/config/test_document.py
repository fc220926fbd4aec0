"""The text of enforcer.yaml to values with lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.config.document import Document, KeyPath, read_document
from enforcer.errors import Mistake


def read(text: str) -> Document:
    return read_document(text.encode(), "enforcer.yaml", {"COLOUR": "green"})


def test_values_keep_the_line_of_their_key() -> None:
    document = read("# first\na: 1\nb:\n  - x\n  - {c: yes,\n     d: null}\n")
    assert document.values == {"a": "1", "b": ["x", {"c": "yes", "d": "null"}]}
    paths: list[KeyPath] = [("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "c"), ("b", 1, "d")]
    assert [document.line(path) for path in paths] == [2, 3, 4, 5, 5, 6]


def test_what_is_not_there_has_the_line_of_what_would_hold_it() -> None:
    document = read("a:\n\n  b: 1\n")
    assert document.line(("a", "c", 0)) == 1
    assert document.line(("a", "b", "d")) == 3
    assert document.line(("x",)) == 1


def test_an_empty_file_holds_nothing() -> None:
    assert read("").values == {}
    assert read("# only this\n").values == {}


def test_a_byte_order_mark_and_other_line_ends_are_fine() -> None:
    document = read("\ufeffa: é\r\nb: 2\r\n")
    assert document.values == {"a": "é", "b": "2"}
    assert document.line(("b",)) == 2


def test_a_variable_stands_for_its_value() -> None:
    document = read("a: the ${env:COLOUR} one\nb: ['${env:COLOUR}${env:COLOUR}']\n")
    assert document.values == {"a": "the green one", "b": ["greengreen"]}
    assert document.wrong == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${env:SIZE}", '"SIZE" is not in the environment; set it, or write the value'),
        ("${SIZE}", '"${SIZE}" is not a variable; write one, as in ${env:NAME}'),
        ("${env:}", '"${env:}" is not a variable; write one, as in ${env:NAME}'),
    ],
)
def test_a_variable_that_is_not_there_leaves_its_value_empty(text: str, said: str) -> None:
    document = read(f"a: 1\nb: {text} and ${{env:COLOUR}}\n")
    assert document.wrong == {("b",): said}
    assert document.values == {"a": "1", "b": ""}


def test_a_key_that_is_written_twice_is_a_mistake_and_the_rest_is_read() -> None:
    document = read("a: 1\nb: 2\na: 3\n")
    assert document.mistakes == [Mistake("enforcer.yaml", 3, 'key "a" is written twice, first in line 1; keep one')]
    assert document.values == {"a": "1", "b": "2"}


def test_what_is_not_yaml_is_a_mistake_with_its_line_and_nothing_is_read() -> None:
    document = read("a: 1\nb: [\n")
    assert [(mistake.file, mistake.line) for mistake in document.mistakes] == [("enforcer.yaml", 3)]
    assert (document.values, document.lines) == ({}, {})


def test_an_address_without_quotes_is_told_to_have_some() -> None:
    (mistake,) = read("a: 1\nudp: [::1]:5300\n").mistakes
    assert mistake.line == 2
    assert mistake.what.startswith("not YAML: ")
    assert mistake.what.endswith("; write values with : [ ] { } # in quotes")


def test_what_is_not_utf_8_is_a_mistake_with_its_line() -> None:
    document = read_document(b"a: 1\nb: \xff\n", "enforcer.yaml", {})
    assert document.mistakes == [Mistake("enforcer.yaml", 2, "this is not UTF-8; save the file as UTF-8")]


@given(st.binary() | st.text().map(str.encode) | st.text(alphabet="a: -[]{}&*!|>'\"\n$").map(str.encode))
def test_any_bytes_give_a_document(data: bytes) -> None:
    document = read_document(data, "enforcer.yaml", {})
    assert document.line(("x", 0)) >= 1
