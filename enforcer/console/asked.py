"""The query string of a page or of the API, which say the same words as the options of `enforcer attempts`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from enforcer.attempts.block import Recorded
from enforcer.attempts.index import Filter, Place
from enforcer.config.values import parse_until
from enforcer.errors import Malformed
from enforcer.policy.names import display, parse
from enforcer.policy.rules import Evidence
from enforcer.policy.verdict import Layer

_AGO = re.compile(r"(\d{1,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PLACE = re.compile(r"(\d{1,15})-(\d{1,18})")
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_TEXT_MOST = 300
WORDS = (
    *("since", "until", "service", "part", "evidence", "layer", "action", "realm"),
    *("device", "group", "client_ip", "name", "rule"),
)
"""What narrows, by its name in the address."""

_CHOICES = {
    "layer": tuple(map(str, Layer)),
    "action": tuple(map(str, Recorded)),
    "evidence": tuple(map(str, Evidence)),
}


class Wrong(Malformed):
    """A word of the query that cannot be read. key: which; value: what was written."""

    def __init__(self, key: str, value: str) -> None:
        super().__init__(f"{key}: {value[:60]!r} cannot be read")
        self.key, self.value = key, value[:60]


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page of a list begins. older: behind this place; newer: before it; neither: the newest."""

    older: Place | None = None
    newer: Place | None = None


def words_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The words of a query, each once; what is empty counts as not written, what is too long is cut."""
    return {key: value.strip()[:_TEXT_MOST] for key, value in pairs if value.strip()}


def read_filter(words: Mapping[str, str], now: datetime, since: str | None = None) -> Filter:
    """Which attempts a query asks for. since: what counts where nothing is written. Raises Wrong."""
    for key, choices in _CHOICES.items():
        if key in words and words[key] not in choices:
            raise Wrong(key, words[key])
    begin, end = words.get("since", since), words.get("until")
    return Filter(
        service=words.get("service"),
        part=words.get("part"),
        evidence=words.get("evidence"),
        layer=words.get("layer"),
        action=words.get("action"),
        realm=words.get("realm"),
        device=words.get("device"),
        group=words.get("group"),
        rule=words.get("rule"),
        since_ms=None if begin in {None, "all"} else _moment("since", str(begin), now),
        until_ms=None if end is None else _moment("until", end, now),
        client_ip=_address(words["client_ip"]) if "client_ip" in words else None,
        name=_name(words["name"]) if "name" in words else None,
    )


def read_page(words: Mapping[str, str]) -> Page:
    """Where a list begins: `older` or else `newer`, each as `place_text` writes it. Raises Wrong."""
    if "older" in words:
        return Page(older=_place("older", words["older"]))
    return Page(newer=_place("newer", words["newer"])) if "newer" in words else Page()


def place_text(place: Place) -> str:
    """A place, for an address."""
    return f"{place.time_ms}-{place.seq}"


def read_number(words: Mapping[str, str], key: str, default: int, least: int, most: int) -> int:
    """A whole number within limits. Raises Wrong."""
    text = words.get(key)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise Wrong(key, text)
    return int(text)


def sought(text: str) -> tuple[str, str]:
    """What somebody who writes this into the search field looks for: `id`, `client_ip`, `name` or `device`."""
    text = text.strip()[:_TEXT_MOST]
    if _ID.fullmatch(text.upper()):
        return "id", text.upper()
    try:
        return "client_ip", _address(text)
    except Wrong:
        pass
    if "." in text:
        try:
            return "name", _name(text)
        except Wrong:
            pass
    return "device", text


def _moment(key: str, text: str, now: datetime) -> int:
    ago = _AGO.fullmatch(text)
    try:
        found = now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]]) if ago else parse_until(text)
    except (ValueError, OverflowError):
        raise Wrong(key, text) from None
    return int(found.timestamp() * 1000)


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        raise Wrong("client_ip", text) from None


def _name(text: str) -> str:
    try:
        return display(parse(text))
    except Malformed:
        raise Wrong("name", text) from None


def _place(key: str, text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Wrong(key, text)
    return Place(int(found[1]), int(found[2]))
