import re
import string
from datetime import UTC, datetime
from importlib.resources import files

import pytest
import yaml

from enforcer.attempts.block import Recorded, Response
from enforcer.attempts.index import Review
from enforcer.config.pages import Role
from enforcer.console.roles import Right
from enforcer.console.texts import Lang, Texts, duration, is_one, negotiate, number, octets, percent, stamp
from enforcer.devices.device import Confidence, Granularity, Source, State
from enforcer.policy.rules import Confidence as RuleConfidence
from enforcer.policy.rules import Evidence, Kind, Mode
from enforcer.policy.verdict import Action, Layer

FOLDER = files("enforcer.console")
CATALOGUE = yaml.safe_load(FOLDER.joinpath("texts.yaml").read_text(encoding="utf-8"))
TEXTS = Texts.read(FOLDER.joinpath("texts.yaml").read_text(encoding="utf-8"))
TEMPLATES = {
    path.name: path.read_text(encoding="utf-8") for path in FOLDER.joinpath("templates").iterdir() if path.is_file()
}
WORDS = {
    "layer": Layer,
    "action": Recorded,
    "evidence": Evidence,
    "confidence": Confidence,
    "source": Source,
    "identity_state": State,
    "granularity": Granularity,
    "kind": Kind,
    "rule_confidence": RuleConfidence,
    "mode": Mode,
    "verdict": Action,
    "response": Response,
    "state": Review,
    "role": Role,
    "right": Right,
    "explain.evidence": Evidence,
    "explain.state": State,
}


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_each_text_with_the_same_values() -> None:
    for key, by_lang in CATALOGUE.items():
        forms = {lang: [each] if isinstance(each, str) else each for lang, each in by_lang.items()}
        assert set(forms) == {"en", "fr"}, key
        assert len(forms["en"]) == len(forms["fr"]) <= 2, key
        for english, french in zip(forms["en"], forms["fr"], strict=True):
            assert english.strip(), key
            assert french.strip(), key
            assert holes(english) == holes(french), key


def test_no_key_is_there_twice() -> None:
    text = FOLDER.joinpath("texts.yaml").read_text(encoding="utf-8")
    keys = re.findall(r"^([\w.]+):", text, re.MULTILINE)
    assert len(keys) == len(set(keys))


def test_every_text_that_a_template_asks_for_is_there() -> None:
    for name, template in TEMPLATES.items():
        for key in re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", template):
            assert key in CATALOGUE, f"{name}: {key}"


@pytest.mark.parametrize(("kind", "words"), WORDS.items(), ids=str)
def test_every_word_of_the_record_has_a_text(kind: str, words: type[Layer]) -> None:
    assert not {f"{kind}.{word}" for word in words} - set(CATALOGUE)


def test_every_text_is_used() -> None:
    code = "".join(path.read_text() for path in _modules())
    everything = code + "".join(TEMPLATES.values())
    # "layer", and "tile.attempts", and what is put together: "span." ~ each, "reading." ~ verdict, message ~ ".title"
    begins = set(re.findall(r"""["']([a-z_.]+\.)["'] ?(?:~|\+)""", everything)) | {f"{kind}." for kind in WORDS}
    begins |= {f"{name}." for name in re.findall(r"""word\(["'](\w+)["']""", everything)} | {"weekday.", "right."}
    for key in CATALOGUE:
        asked = f'"{key}"' in everything or f"'{key}'" in everything or f'"{key.removesuffix(".title")}"' in everything
        assert asked or any(key.startswith(begin) for begin in begins), key


def _modules() -> list:  # type: ignore[type-arg]
    folder = FOLDER.joinpath("")
    return [path for path in [*folder.iterdir(), *folder.joinpath("pages").iterdir()] if path.name.endswith(".py")]


def test_numbers_choose_between_one_and_several() -> None:
    assert TEXTS.say(Lang.EN, "attempts.n", n=1) == "1 attempt"
    assert TEXTS.say(Lang.EN, "attempts.n", n=0) == "0 attempts"
    assert TEXTS.say(Lang.FR, "attempts.n", n=0) == "0 tentative"
    assert TEXTS.say(Lang.FR, "attempts.n", n=12_345) == "12\u202f345 tentatives"
    assert is_one(Lang.FR, 0)
    assert not is_one(Lang.EN, 0)


def test_lines_do_not_break_before_what_french_sets_apart() -> None:
    read = Texts.read('a: {en: "x : y", fr: "« {v} » : fin"}')
    assert read.say(Lang.FR, "a", v="b") == "«\u00a0b\u00a0»\u00a0: fin"
    assert read.say(Lang.EN, "a") == "x : y"


def test_a_key_that_is_missing_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        TEXTS.say(Lang.EN, "no.such.key")
    assert not TEXTS.has("no.such.key")


def test_figures_are_written_as_the_language_does() -> None:
    assert number(Lang.EN, 1_234_567) == "1,234,567"
    assert number(Lang.FR, 1_234_567) == "1\u202f234\u202f567"
    assert percent(Lang.EN, 1, 3) == "33%"
    assert percent(Lang.FR, 1, 3) == "33\u00a0%"
    assert (percent(Lang.EN, 1, 10_000), percent(Lang.EN, 9_999, 10_000)) == ("1%", "99%")
    assert (percent(Lang.EN, 0, 0), percent(Lang.EN, 5, 5)) == ("0%", "100%")
    assert octets(Lang.EN, 999) == "999\u00a0B"
    assert octets(Lang.EN, 5_000_000) == "5.0\u00a0MB"
    assert octets(Lang.FR, 1_500) == "1,5\u00a0ko"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0\u00a0s"),
        (59, "59\u00a0s"),
        (61, "1\u00a0min 1\u00a0s"),
        (3600, "1\u00a0h"),
        (90_061, "1\u00a0d 1\u00a0h"),
        (-5, "0\u00a0s"),
    ],
)
def test_durations_are_in_the_units_that_matter(seconds: float, shown: str) -> None:
    assert duration(Lang.EN, seconds) == shown


def test_a_day_in_french() -> None:
    assert duration(Lang.FR, 172_800) == "2\u00a0j"


def test_moments_are_written_in_figures() -> None:
    assert stamp(datetime(2026, 11, 23, 12, 0, 3, tzinfo=UTC)) == "2026-11-23 12:00:03"


@pytest.mark.parametrize(
    ("asked", "chosen", "accepts", "lang"),
    [
        (None, None, None, Lang.EN),
        ("fr", "en", "en", Lang.FR),
        (None, "fr", "en", Lang.FR),
        ("de", None, "fr-CA, en;q=0.5", Lang.FR),
        (None, None, "en;q=0.2, fr;q=0.8", Lang.FR),
        (None, None, "de, es", Lang.EN),
        (None, None, "fr;q=0", Lang.EN),
        (None, None, "fr;q=nonsense, en;q=0.1", Lang.EN),
        (None, None, "FR-ca", Lang.FR),
        (None, None, "," * 5000 + "fr", Lang.EN),
    ],
)
def test_the_language_is_what_is_asked_chosen_or_accepted(
    asked: str | None, chosen: str | None, accepts: str | None, lang: Lang
) -> None:
    assert negotiate(asked, chosen, accepts) is lang
    assert lang.other is not lang
