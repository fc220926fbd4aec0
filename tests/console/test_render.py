from zoneinfo import ZoneInfo

import pytest
from jinja2 import DictLoader, UndefinedError

from enforcer.console.render import Look
from enforcer.console.texts import Lang
from tests.console.lab import RENDERER

LOOK = Look(Lang.FR, None, ZoneInfo("America/Toronto"))


def shown(source: str, look: Look = LOOK, **facts: object) -> str:
    """A template of a test's own, with everything that pages have."""
    RENDERER._templates.loader.mapping["test"] = source  # type: ignore[union-attr]
    return RENDERER.page("test", look, facts)


@pytest.fixture(autouse=True)
def _own_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RENDERER._templates, "loader", DictLoader({}))
    monkeypatch.setattr(RENDERER._templates, "cache", None)


def test_times_are_shown_in_the_readers_zone_and_said_in_utc() -> None:
    html = shown("{{ ms | when }}", ms=1_795_435_200_000)
    assert html == '<time datetime="2026-11-23T12:00:00.000Z" class="nowrap">2026-11-23 07:00:00</time>'


def test_figures_are_written_as_the_language_does() -> None:
    assert shown("{{ 1234 | n }} {{ 1500 | octets }} {{ 60 | lasting }}") == "1\u202f234 1,5\u00a0ko 1\u00a0min"


def test_words_that_the_catalogue_does_not_have_stay_as_they_are() -> None:
    assert shown('{{ word("action", "blocked") }} {{ word("part", "<b>") }}') == "bloquée &lt;b&gt;"


def test_addresses_keep_what_is_not_changed() -> None:
    assert shown("{{ words | link(b=none, c='é') }}", words={"a": "1", "b": "2"}) == "?a=1&amp;c=%C3%A9"
    assert shown("{{ words | link }}", words={}) == "?"


def test_files_are_named_without_their_folders() -> None:
    assert shown("{{ '/etc/enforcer/wechat.yaml' | filename }}") == "wechat.yaml"


def test_everything_is_escaped_and_nothing_is_missing_silently() -> None:
    assert shown("{{ evil }}", evil="<script>") == "&lt;script&gt;"
    with pytest.raises(UndefinedError):
        shown("{{ nothing }}")
