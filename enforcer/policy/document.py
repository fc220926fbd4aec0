"""YAML to values that know their line. Everything is text: `no` is not false and 1.10 not 1.1.

Aliases, tags and deep nesting are refused, so a document is never more than what is written in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from enforcer.errors import Mistake, Mistakes

_DEEPEST = 8
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML comes with and without libyaml


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar, as written between its quotes."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of values."""

    items: "tuple[Node, ...]"
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values; of a key that is written twice, the first."""

    values: "dict[str, Node]"
    lines: dict[str, int]
    line: int


type Node = Text | Sequence | Mapping


def read_document(text: str, file: str, mistakes: list[Mistake]) -> Node | None:
    """The one document in `text`; None when there is none, or when its YAML cannot be read.

    What is wrong is appended to `mistakes`: each key that is written twice, and a fault in the syntax, which ends the
    reading.
    """
    try:
        return _Reader(file, yaml.parse(text, Loader=_Loader), mistakes).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        mistakes.append(Mistake(file, mark.line + 1 if mark else None, f"not YAML: {what}"))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, text.index(chr(error.character))) + 1  # its position counts octets, or characters
        mistakes.append(Mistake(file, line, f"not YAML: character U+{error.character:04X}; take it out"))
    except Mistakes as refused:
        mistakes.extend(refused.mistakes)
    return None


class _Reader:
    """Builds values from the parser's events, which come without the parser's own types, aliases and recursion."""

    def __init__(self, file: str, events: Iterator[yaml.Event], mistakes: list[Mistake]) -> None:
        self.file = file
        self.events = events
        self.mistakes = mistakes

    def document(self) -> Node | None:
        found: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                if found:
                    raise self.refusal(event, 'a second document; take out the "---" between the two')
                found.append(self.node(event, 0))
        return found[0] if found else None

    def node(self, event: yaml.Event, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            raise self.refusal(event, f'alias "*{event.anchor}"; write out what it stands for')
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise self.refusal(event, f'tag "{event.tag}"; every value is text, take the tag out')
        if depth > _DEEPEST:
            raise self.refusal(event, f"nested more than {_DEEPEST} deep; close the brackets, or mend the indentation")
        if isinstance(event, yaml.ScalarEvent):
            return Text(event.value, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self.node(item, depth + 1) for item in self.until(yaml.SequenceEndEvent)), line)
        return self.mapping(line, depth)

    def mapping(self, line: int, depth: int) -> Mapping:
        values: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for event in self.until(yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key, Text):
                raise self.refusal(event, "a key that is not text")
            if key.text in values:
                what = f'key "{key.text}" is written twice, first in line {lines[key.text]}; keep one'
                self.mistakes.append(Mistake(self.file, key.line, what))
                continue
            values[key.text] = value
            lines[key.text] = key.line
        return Mapping(values, lines, line)

    def until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        """The events that each begin a value, up to the one that ends the collection."""
        for event in self.events:
            if isinstance(event, end):
                return
            yield event

    def refusal(self, event: yaml.Event, what: str) -> Mistakes:
        return Mistakes([Mistake(self.file, _line(event), what)])


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
