r"""The patterns of regex rules: the part of regular expressions that cannot be slow and cannot match across labels.

A pattern describes a whole name, `^wx[0-9]+\.qq\.com$`, and ends in labels that are written out. So a policy looks at
a pattern only for names below `qq.com`, and a stranger's name that merely ends in the same letters never matches.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from enforcer.errors import Malformed
from enforcer.policy.names import wire
from enforcer.wire.name import Name

MAX_LENGTH = 200
_MAX_WAYS = 100_000  # to match one name; an open repeat counts as the longest name, so two of them are allowed
_MAX_TAILS = 64
_LONGEST = 253
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."
_DIGITS = "0123456789"
_REPEAT = re.compile(r"\{([0-9]{1,2})(?:(,)([0-9]{1,3})?)?\}")


@dataclass(frozen=True, slots=True)
class _One:
    """One character out of `among`, `low` to `high` times."""

    among: str
    low: int = 1
    high: int = 1


@dataclass(frozen=True, slots=True)
class _Group:
    """One of several sequences, or nothing when optional."""

    branches: "tuple[tuple[_Item, ...], ...]"
    optional: bool


type _Item = _One | _Group


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was checked.

    tails: every match is one of these names or lies below one. example: a name that the pattern matches.
    """

    text: str
    tails: tuple[Name, ...]
    example: str


def read_pattern(text: str) -> Pattern:
    r"""Read a pattern: `^`, then letters, digits, `-`, `_`, `\.`, `.`, `\d`, `[…]`, `(…|…)`, also repeated, and `$`.

    Groups may be optional but not repeated, and there is neither look-around nor back-reference.
    Raises Malformed with a text that says what to write instead.
    """
    if len(text) > MAX_LENGTH:
        raise Malformed(f"pattern of {len(text)} characters; write at most {MAX_LENGTH}, or several rules")
    if not (text.startswith("^") and text.endswith("$") and not text.endswith("\\$")):
        raise Malformed(f'pattern "{text}" is not anchored; write "^{text.strip("^$")}$" to describe the whole name')
    items = _Reader(text).read()
    if _ways(items) > _MAX_WAYS:
        raise Malformed(f'pattern "{text}" can be slow; write fewer of "*", "+" and "|"')
    tails, example = _tails(text, items), _example(items)
    if wire(example.encode()) is None:
        raise Malformed(f'pattern "{text}" matches "{example}", which is no name; write labels of 1 to 63 characters')
    return Pattern(text, tails, example)


def matches(text: str, shown: str) -> bool:
    """Whether a checked pattern describes the whole name, as `names.display` writes it.

    Only to be asked for names at or below one of the pattern's tails: the text of a name does not tell labels apart.
    """
    return _compiled(text).fullmatch(shown) is not None


def matches_below(text: str, shown: str) -> bool:
    """Whether a checked pattern describes any name below this one, which has ordinary labels alone."""
    ending = f".{shown}"
    return 0 in _left(_Reader(text).read(), ending, {len(ending)})


@lru_cache(maxsize=4096)
def _compiled(text: str) -> re.Pattern[str]:
    """Compiled when first needed: a policy with many patterns loads at once."""
    return re.compile(text[1:-1], re.ASCII)


class _Reader:
    """Reads the pattern's text from left to right; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 1

    def read(self) -> tuple[_Item, ...]:
        items = self.sequence()
        if self.at != len(self.text) - 1:
            raise self.refusal('write "|" and ")" only inside of a group')
        return items

    def sequence(self) -> tuple[_Item, ...]:
        items: list[_Item] = []
        while self.at < len(self.text) - 1 and self.text[self.at] not in "|)":
            items.append(self.item())
        return tuple(items)

    def item(self) -> _Item:
        if self.text[self.at] == "(":
            return self.group()
        among = self.characters()
        low, high = self.repeat()
        return _One(among, low, high)

    def group(self) -> _Group:
        self.at += 3 if self.text.startswith("(?:", self.at) else 1
        branches = [self.sequence()]
        while self.text[self.at] == "|":
            self.at += 1
            branches.append(self.sequence())
        if self.text[self.at] != ")":
            raise self.refusal('close the group with ")"')
        self.at += 1
        low, high = self.repeat()
        if high > 1:
            self.at -= 1
            raise self.refusal('a group may be optional ("?") but not repeated')
        return _Group(tuple(branches), optional=low == 0)

    def characters(self) -> str:
        start = self.text[self.at]
        if start == "[":
            return self.choice()
        if start == "\\":
            return self.escaped()
        if start == ".":
            self.at += 1
            return _CHARACTERS
        if start not in _CHARACTERS:
            raise self.refusal('write lower-case letters, digits, "-", "_", "\\.", "[…]" or "(…|…)"')
        self.at += 1
        return start

    def escaped(self) -> str:
        self.at += 2
        match self.text[self.at - 1]:
            case "d":
                return _DIGITS
            case "." | "-" | "_" as mark:
                return mark
        self.at -= 2
        raise self.refusal('only "\\.", "\\-" and "\\d" may follow a backslash')

    def choice(self) -> str:
        """`[a-z0-9-]` or `[^.]`: the characters of names that it stands for."""
        self.at += 1
        negated = self.text[self.at] == "^"
        self.at += negated
        if self.text[self.at] == "]":  # which regular expressions elsewhere take for a character
            raise self.refusal("an empty choice matches nothing")
        among = ""
        while self.text[self.at] != "]":
            first = self.member()
            if len(first) == 1 and self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                first = self.span(first, self.member())
            among += first
        self.at += 1
        chosen = "".join(character for character in _CHARACTERS if (character in among) != negated)
        if not chosen:
            raise self.refusal("an empty choice matches nothing")
        return chosen

    def member(self) -> str:
        if self.text[self.at] == "\\":
            return self.escaped()
        if self.text[self.at] not in _CHARACTERS:
            raise self.refusal('write lower-case letters, digits, ".", "-" or "_" between "[" and "]"')
        self.at += 1
        return self.text[self.at - 1]

    def span(self, first: str, last: str) -> str:
        known = _DIGITS if first in _DIGITS else _CHARACTERS[:26]
        if first not in known or last not in known or first > last:
            raise self.refusal('write a range of letters or of digits, such as "a-z"')
        return known[known.index(first) : known.index(last) + 1]

    def repeat(self) -> tuple[int, int]:
        marks = {"?": (0, 1), "*": (0, _LONGEST), "+": (1, _LONGEST)}
        mark = self.text[self.at]
        if mark in marks:
            self.at += 1
            return marks[mark]
        if mark != "{":
            return 1, 1
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            raise self.refusal('write a repeat as "{2}", "{2,}" or "{2,4}"')
        low = int(found[1])
        high = int(found[3]) if found[3] else _LONGEST if found[2] else low
        if not low <= high or high == 0 or high > _LONGEST:
            raise self.refusal("a repeat goes from the smaller to the larger number")
        self.at = found.end()
        return low, high

    def refusal(self, what: str) -> Malformed:
        return Malformed(f'pattern "{self.text}", character {self.at + 1}: {what}')


def _ways(items: Iterable[_Item]) -> int:
    """An upper bound for the ways in which a match can be tried."""
    ways = 1
    for item in items:
        if isinstance(item, _One):
            ways *= item.high - item.low + 1
        else:
            ways *= sum(map(_ways, item.branches)) + item.optional
    return ways


def _tails(text: str, items: tuple[_Item, ...]) -> tuple[Name, ...]:
    tails = set()
    for end, whole in _ends(items):
        written = end if whole else end.partition(".")[2]
        name = wire(written.encode())
        if name is None:
            raise Malformed(f'pattern "{text}" does not end in a written-out name; end it as in "\\.qq\\.com$"')
        tails.add(name)
    return tuple(sorted(tails))


def _ends(items: tuple[_Item, ...]) -> set[tuple[str, bool]]:
    """What matches can end in: the written-out text, and whether that is the whole match."""
    ends = {("", True)}
    for item in reversed(items):
        if not any(whole for _, whole in ends):
            break
        before = _item_ends(item)
        if len(ends) * len(before) > _MAX_TAILS:
            before = {("", False)}
        ends = {(first + end, before_whole) for end, whole in ends if whole for first, before_whole in before} | {
            (end, False) for end, whole in ends if not whole
        }
    return ends


def _item_ends(item: _Item) -> set[tuple[str, bool]]:
    if isinstance(item, _One):
        return {(item.among * item.low, True)} if len(item.among) == 1 and item.low == item.high else {("", False)}
    ends = {end for branch in item.branches for end in _ends(branch)}
    return ends | {("", True)} if item.optional else ends


def _left(items: Sequence[_Item], ending: str, lengths: set[int]) -> set[int]:
    """How much of an ending is still to be matched when these items, the last first, have taken what they can.

    lengths: how much there is to be matched before; 0 stays 0, since items match anything before the ending.
    """
    for item in reversed(items):
        if isinstance(item, _Group):
            each = [_left(branch, ending, lengths) for branch in item.branches]
            lengths = set().union(*each, lengths if item.optional else ())
        else:
            lengths = set().union(*(_left_by_one(item, ending[:length]) for length in lengths))
    return lengths


def _left_by_one(item: _One, ending: str) -> set[int]:
    length = len(ending)
    most = min(length - len(ending.rstrip(item.among)), item.high)
    left = set(range(length - most, length - item.low + 1))
    return left | {0} if most == length else left


def _example(items: Iterable[_Item]) -> str:
    return "".join(
        item.among[0] * max(item.low, 1) if isinstance(item, _One) else _example(item.branches[0]) for item in items
    )
