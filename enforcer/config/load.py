"""enforcer.yaml to a `Config`, or to every mistake in it at once."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from pathlib import Path

from pydantic import ValidationError

from enforcer.config.contradictions import contradictions, unknown_services
from enforcer.config.document import Document, KeyPath, read_document
from enforcer.config.fields import Surroundings
from enforcer.config.model import Config
from enforcer.config.words import in_words, written
from enforcer.errors import Mistake, Mistakes, Unavailable

type _Wrong = tuple[KeyPath, str]


def load(
    path: Path,
    shipped: Callable[[str], Path | None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
    *,
    files: bool = True,
) -> Config:
    """Read a configuration; its paths are relative to the folder of the file.

    shipped: gives the file of a list that comes with Enforcer from a bare name such as `wechat.yaml`, or None.
    files: False for who never opens the lists and the inventory, so that they need not be there.
    Raises Mistakes with all of them, in the order of the lines; what must hold between keys is looked at as far as the
    keys can be read. Raises Unavailable when the file cannot be opened. Nothing but files is looked at: whether
    `data_dir` can be written, or an address listened on, is found when a process starts.
    """
    document = _document(path, environ)
    if document.mistakes and not document.lines:
        raise Mistakes(document.mistakes)  # not YAML: nothing else can be said
    config, invalid, removed = _validate(document.values, Surroundings(path.absolute().parent, shipped, files))
    wrong = [*document.wrong.items(), *_outside(invalid, document.wrong)]
    if config is not None:
        wrong += _outside(contradictions(config), document.wrong.keys() | removed)
    mistakes = [*document.mistakes, *_mistakes(path, document, wrong)]
    if mistakes or config is None:
        raise Mistakes(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    return config


def check_services(path: Path, config: Config, services: Collection[str]) -> tuple[Mistake, ...]:
    """Exemptions of services that no list in force bans; to be asked once the lists are read.

    path: the file that `config` was loaded from, which is read again for its lines.
    """
    wrong = list(unknown_services(config, services))
    return _mistakes(path, _document(path, {}), wrong) if wrong else ()


def _document(path: Path, environ: Mapping[str, str]) -> Document:
    try:
        return read_document(path.read_bytes(), str(path), environ)
    except OSError as error:
        raise Unavailable(
            f'{path}: cannot be read ({error.strerror}); name another file, or start from "deploy/enforcer.yaml"'
        ) from error


def _validate(values: object, around: Surroundings) -> tuple[Config | None, list[_Wrong], set[KeyPath]]:
    """The configuration as far as it can be read, what is wrong with it, and the keys left out for that.

    A key that is wrong is left out, so that the others can still be compared; None when too little is left.
    """
    values = deepcopy(values)
    wrong: list[_Wrong] = []
    removed: set[KeyPath] = set()
    while True:
        try:
            return Config.model_validate(values, context=around), wrong, removed
        except ValidationError as error:
            details = error.errors(include_url=False)
        if not removed:  # what a later round finds, leaving out has made
            wrong = [
                (detail["loc"], in_words(detail))
                for detail in details
                if detail["type"] != "too_short" or not detail["input"]  # else its items are wrong, not too few
            ]
        places = {_deepest_key(values, detail["loc"]) for detail in details}
        if () in places:
            return None, wrong, removed
        for place in places:
            _remove(values, place)
        removed |= places


def _deepest_key(values: object, path: KeyPath) -> KeyPath:
    """The part of `path` that exists, up to its last key of a mapping."""
    deepest: KeyPath = ()
    for depth, step in enumerate(path, start=1):
        if isinstance(values, dict) and step in values:
            values, deepest = values[step], path[:depth]
        elif isinstance(values, list) and isinstance(step, int):
            values = values[step]
        else:
            break
    return deepest


def _remove(values: object, path: KeyPath) -> None:
    """Take a key out of the mapping that holds it, unless what holds that is gone already."""
    *above, last = path
    for step in above:
        if isinstance(values, dict):
            values = values.get(str(step))
        elif isinstance(values, list) and isinstance(step, int):
            values = values[step]
    if isinstance(values, dict):
        values.pop(str(last), None)


def _outside(found: Iterable[_Wrong], places: Collection[KeyPath]) -> list[_Wrong]:
    """What is not at, or below, one of the places that are known to be wrong."""
    return [(path, text) for path, text in found if not any(path[: len(place)] == place for place in places)]


def _mistakes(path: Path, document: Document, wrong: Iterable[_Wrong]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(str(path), document.line(place), f"{written(place)}: {text}" if place else text)
        for place, text in wrong
    )
