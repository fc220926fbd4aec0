"""The text of enforcer.yaml to plain values, and the line on which each of them stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from enforcer.config.values import quoted
from enforcer.errors import Mistake
from enforcer.policy import document as yaml

# The keys and indexes that lead to a value: ("realms", 0, "name"); () is the whole file.
type KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(slots=True)
class Document:
    """What a file says.

    values: lists, dicts, and text: whoever wants a number reads one. lines: where each key and each item stands,
    counted from 1. mistakes: what is not YAML. wrong: values that cannot be read, and why; in `values` they are empty.
    """

    values: object = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    wrong: dict[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest that holds it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(data: bytes, file: str, environ: Mapping[str, str]) -> Document:
    """Read YAML in UTF-8; `${env:NAME}` in a value stands for that variable. file: its name, for mistakes."""
    document = Document()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        document.mistakes.append(Mistake(file, line, "this is not UTF-8; save the file as UTF-8"))
        return document
    root = yaml.read_document(text, file, document.mistakes)
    if root is not None:
        document.values = _Reader(document, environ).value(root, ())
    elif document.mistakes:
        document.mistakes = [replace(m, what=_with_hint(m.what)) for m in document.mistakes]
    return document


def _with_hint(what: str) -> str:
    """What people stumble over most here are addresses such as [::1]:5300, which open a list."""
    return what if ";" in what else f"{what}; write values with : [ ] {{ }} # in quotes"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Walks the nodes of one document."""

    document: Document
    environ: Mapping[str, str]

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        self.document.lines.setdefault(path, node.line)
        match node:
            case yaml.Text():
                return self._substituted(node.text, path)
            case yaml.Sequence():
                return [self.value(item, (*path, i)) for i, item in enumerate(node.items)]
            case yaml.Mapping():
                self.document.lines |= {(*path, key): line for key, line in node.lines.items()}
                return {key: self.value(value, (*path, key)) for key, value in node.values.items()}

    def _substituted(self, text: str, path: KeyPath) -> str:
        """`text` with the values of its variables; empty where one of them is wrong."""
        wrong = self.document.wrong

        def variable(match: re.Match[str]) -> str:
            name = _VARIABLE_NAME.fullmatch(match[1])
            if name is None:
                wrong[path] = f"{quoted(match[0])} is not a variable; write one, as in ${{env:NAME}}"
            elif name[1] not in self.environ:
                wrong[path] = f"{quoted(name[1])} is not in the environment; set it, or write the value"
            else:
                return self.environ[name[1]]
            return ""

        value = _VARIABLE.sub(variable, text)
        return "" if path in wrong else value
