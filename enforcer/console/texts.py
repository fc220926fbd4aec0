"""What the console says, in English and French: one catalogue with both side by side, so that neither can lag behind.

Pure: the catalogue is text, the language an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

import yaml


class Lang(StrEnum):
    """The official languages."""

    EN = "en"
    FR = "fr"

    @property
    def other(self) -> "Lang":
        """The language to switch to."""
        return Lang.FR if self is Lang.EN else Lang.EN


type Forms = tuple[str, str]
"""For one, and for several; the same text twice where there is no number in it."""

_THIN = "\u202f"  # the narrow no-break space that parts thousands, and stands before a colon, in French


@dataclass(frozen=True, slots=True)
class Texts:
    """The catalogue. A key that is missing is a mistake of ours, so KeyError, never a text in the wrong language."""

    by_key: Mapping[str, Mapping[Lang, Forms]]

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `texts.yaml`: a key, and for each language a text, or two: for one and for several."""
        found: dict[str, dict[Lang, Forms]] = {}
        for key, by_lang in yaml.safe_load(text).items():
            forms = {
                Lang(lang): (each, each) if isinstance(each, str) else tuple(each) for lang, each in by_lang.items()
            }
            found[str(key)] = {lang: (_bound(lang, each[0]), _bound(lang, each[-1])) for lang, each in forms.items()}
        return cls(found)

    def say(self, lang: Lang, key: str, /, **values: object) -> str:
        """A text with its values put in. `n` chooses between one and several, and is written as the language does."""
        one, several = self.by_key[key][lang]
        count = values.get("n")
        if isinstance(count, int):
            values["n"] = number(lang, count)
        return (one if count is not None and is_one(lang, count) else several).format(**values)

    def has(self, key: str) -> bool:
        """Whether the catalogue has a text; for words that come from elsewhere, such as the parts of a list."""
        return key in self.by_key


def _bound(lang: Lang, text: str) -> str:
    """A text whose lines do not break before a colon or inside of a quotation mark, which French sets apart."""
    if lang is Lang.EN:
        return text
    return text.replace("« ", "«\u00a0").replace(" »", "\u00a0»").replace(" :", "\u00a0:")


def is_one(lang: Lang, count: object) -> bool:
    """Whether a number takes the singular: 1 in English, 0 and 1 in French."""
    return count == 1 or (lang is Lang.FR and count == 0)


def number(lang: Lang, value: int) -> str:
    """Thousands parted by a comma in English, by a narrow no-break space in French."""
    return f"{value:,}" if lang is Lang.EN else f"{value:,}".replace(",", _THIN)


def percent(lang: Lang, part: int, whole: int) -> str:
    """A share in whole percent; what is more than nothing is never 0, and less than everything never 100."""
    share = 0 if whole == 0 else round(100 * part / whole)
    if 0 < part < whole:
        share = min(max(share, 1), 99)
    return f"{share}%" if lang is Lang.EN else f"{share}\u00a0%"


def octets(lang: Lang, value: float) -> str:
    """A size, in powers of 1000."""
    units = ("B", "kB", "MB", "GB", "TB") if lang is Lang.EN else ("o", "ko", "Mo", "Go", "To")
    step = 0
    while value >= 1000 and step < len(units) - 1:
        value, step = value / 1000, step + 1
    shown = f"{value:.1f}" if step > 0 and value < 10 else f"{value:.0f}"
    return f"{shown if lang is Lang.EN else shown.replace('.', ',')}\u00a0{units[step]}"


def duration(lang: Lang, seconds: float) -> str:
    """A length of time, in the one or two units that matter."""
    day = "d" if lang is Lang.EN else "j"
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in ((86_400, day), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}\u00a0{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def stamp(moment: datetime) -> str:
    """Date and time as both languages write them in figures (ISO 8601), to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def negotiate(asked: str | None, chosen: str | None, accepts: str | None) -> Lang:
    """The language of an answer: what the address says, else what was chosen before, else Accept-Language's order.

    Of languages that we do not have nothing is said; English where none is left (RFC 9110 §12.5.4).
    """
    for given in (asked, chosen):
        if given in {each.value for each in Lang}:
            return Lang(str(given))
    best, best_weight = Lang.EN, 0.0
    for item in (accepts or "")[:1000].split(","):
        tag, _, parameters = item.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if language in {each.value for each in Lang} and weight > best_weight:
            best, best_weight = Lang(language), weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
