"""What pydantic finds wrong, in words that say what to write instead."""

import json
from collections.abc import Iterator
from inspect import isclass
from typing import get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from enforcer.config.document import KeyPath
from enforcer.config.model import Config
from enforcer.config.section import Section
from enforcer.config.values import instead, quoted


def written(path: KeyPath) -> str:
    """A path as people write it: `realms[0].networks`; pydantic adds a step for what is wrong with a key itself."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path if step != "[key]")
    return "".join(steps).removeprefix(".")


def in_words(error: ErrorDetails) -> str:
    """What is wrong, and what to write instead."""
    path, value = error["loc"], error["input"]
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "extra_forbidden":
            return f"unknown key; {instead(str(path[-1]), _section(path[:-1]).model_fields)}"
        case "missing":
            return f"missing; write it, as in {path[-1]}: {_example(path)}"
        case "too_short":
            return f"empty; write at least one, as in {_example(path)}"
        case "model_type":
            first = next(iter(_section(path).model_fields))
            return f"{quoted(value)} is not a mapping; write keys and values, as in {first}: …"
        case "dict_type":
            return f"{quoted(value)} is not a mapping; write keys and values, as in {_example(path)}"
        case "tuple_type":
            return f"{quoted(value)} is not a list; write each item on a line of its own, after a dash"
        case "string_type":
            return f"{quoted(value)} is not text; write one value"
        case "bool_type" | "bool_parsing":
            return f"{quoted(value)} is not true or false; write one of them"
        case number if number.startswith(("int_", "float_", "finite_number", "greater_", "less_")):
            return _out_of_bounds(path, value)
        case _:  # pydantic has more to say than we use; whatever it is, it must not hide the other mistakes
            return f"{quoted(value)} is refused ({error['msg']}); write what `enforcer config schema` allows"


def _out_of_bounds(path: KeyPath, value: object) -> str:
    """A number that is none, too small or too large: every number has bounds, and a default."""
    field = _field(path)
    least, most = (next(getattr(m, name) for m in field.metadata if hasattr(m, name)) for name in ("ge", "le"))
    kind = "whole number" if field.annotation is int else "number"
    return f"{quoted(value)} is not a {kind} from {least} to {most}; write one, as in {field.default:g}"


def _example(path: KeyPath) -> str:
    """The first example of a field in YAML's flow form, which JSON is."""
    return json.dumps(next(iter(_field(path).examples or ())), ensure_ascii=False)


def _field(path: KeyPath) -> FieldInfo:
    """The field at `path`; for an item, or a key that people choose, the field that holds it."""
    *_, field = _fields(path)
    return field


def _section(path: KeyPath) -> type[Section]:
    """The section at `path`, indexes aside."""
    *_, section = (Config, *(_inside(field.annotation) for field in _fields(path)))
    return section or Config


def _fields(path: KeyPath) -> Iterator[FieldInfo]:
    """The fields on the way to `path`, as far as sections lead."""
    section: type[Section] | None = Config
    for step in path:
        if isinstance(step, str) and section is not None:
            field = section.model_fields[step]
            yield field
            section = _inside(field.annotation)


def _inside(annotation: object) -> type[Section] | None:
    """The section that a type is, or holds: `Section`, `Section | None`, `tuple[Section, ...]`; None without one."""
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isclass(c) and issubclass(c, Section)), None)
