"""Templates to pages: what every page needs beside its own facts. Everything is escaped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from importlib.resources import files
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from enforcer.console.asked import place_text
from enforcer.console.charts import share
from enforcer.console.texts import Lang, Texts, duration, number, octets, percent, stamp

FOLDER = files("enforcer.console")


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is to be shown to whoever asks. theme: None follows the system."""

    lang: Lang
    theme: str | None
    zone: tzinfo


class Renderer:
    """The templates and the catalogue, read once."""

    def __init__(self) -> None:
        self.texts = Texts.read(FOLDER.joinpath("texts.yaml").read_text(encoding="utf-8"))
        self._templates = Environment(
            loader=FileSystemLoader(str(FOLDER.joinpath("templates"))),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["share"] = share
        self._templates.filters |= {
            "when": _when,
            "n": _in_language(number),
            "octets": _in_language(octets),
            "lasting": _in_language(duration),
            "link": _link,
            "place": place_text,
            "filename": lambda path: path.rpartition("/")[2],
        }

    def page(self, template: str, look: Look, facts: Mapping[str, object]) -> str:
        """A whole page of HTML."""
        return self._templates.get_template(template).render(
            **facts,
            look=look,
            lang=look.lang,
            t=partial(self._say, look.lang),
            word=partial(self._word, look.lang),
            percent=partial(percent, look.lang),
        )

    def _say(self, lang: Lang, key: str, /, **values: object) -> str:
        return self.texts.say(lang, key, **values)

    def _word(self, lang: Lang, kind: str, value: object) -> str:
        """A word of the record in the reader's language; one that the catalogue does not have, as it is."""
        key = f"{kind}.{value}"
        return self.texts.say(lang, key) if self.texts.has(key) else str(value)


def _in_language[T](write: Callable[[Lang, T], str]) -> Callable[[Context, T], str]:
    @pass_context
    def filter_(context: Context, value: T) -> str:
        return write(context["lang"], value)

    return filter_


@pass_context
def _when(context: Context, ms: int) -> Markup:
    """A moment, in ms since 1970, in the zone of the reader; the element says it in UTC."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    shown = stamp(moment.astimezone(context["look"].zone))
    return Markup('<time datetime="{}" class="nowrap">{}</time>').format(
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), shown
    )


def _link(words: Mapping[str, str], **changes: str | None) -> str:
    """A query string: the words of this page, some of them changed; None leaves one out."""
    found = {key: value for key, value in {**words, **changes}.items() if value is not None}
    return f"?{urlencode(found)}" if found else "?"
