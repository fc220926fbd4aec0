"""What the pages stand on, put together by the process, and by tests."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from enforcer import __version__
from enforcer.attempts.index import Index
from enforcer.config.model import Config
from enforcer.config.pages import Console
from enforcer.console.access import Access, Visitor
from enforcer.console.cached import Cached
from enforcer.console.desk import Desk
from enforcer.console.policies import Policies
from enforcer.console.render import Look, Renderer
from enforcer.console.roles import Person, Right
from enforcer.errors import EnforcerError

NAVIGATION: tuple[tuple[str, str, Right], ...] = (
    ("overview", "/", Right.VIEW),
    ("incidents", "/incidents", Right.VIEW),
    ("attempts", "/attempts", Right.VIEW),
    ("policy", "/policy", Right.VIEW),
    ("health", "/health", Right.VIEW),
    ("journal", "/journal", Right.AUDIT),
)


class Missing(EnforcerError):
    """There is nothing at this address."""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a page may ask.

    config: what is in force. index: opens the index for one request. log: the folder of the day log. cached: answers
    that may be a minute old.
    """

    settings: Console
    node: str
    clock: Callable[[], datetime]
    config: Callable[[], Config]
    index: Callable[[], AbstractContextManager[Index]]
    policies: Policies
    desk: Desk
    log: Path
    access: Access
    renderer: Renderer
    cached: Cached[object]

    def lately[T](self, what: str, make: Callable[[Index], T]) -> T:
        """An answer of the index that may be a minute old. what: names it."""

        def ask() -> object:
            with self.index() as index:
                return make(index)

        return cast("T", self.cached.get(what, ask))

    @property
    def zone(self) -> ZoneInfo:
        """In which times are shown."""
        return ZoneInfo(self.settings.time_zone)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, for a view. words: its query; path: the variable parts of its address; form: of an action."""

    site: Site
    visitor: Visitor
    person: Person
    words: Mapping[str, str]
    path: Mapping[str, str]
    now: datetime
    form: Mapping[str, str]

    @property
    def now_ms(self) -> int:
        """The moment, in ms since 1970."""
        return int(self.now.timestamp() * 1000)

    def say(self, key: str, /, **values: object) -> str:
        """A text in the reader's language."""
        return self.site.renderer.texts.say(self.visitor.lang, key, **values)


def html(site: Site, visitor: Visitor, template: str, words: Mapping[str, str], facts: Mapping[str, object]) -> str:
    """A page with all that the frame around it needs. facts: `here` says which part of the navigation it is in."""
    person = visitor.person
    texts = site.renderer.texts
    roles = () if person is None else sorted(person.roles)
    frame: dict[str, object] = {
        "here": None,
        "node": site.node,
        "version": __version__,
        "person": person,
        "may": {right.value: person is not None and person.may(right) for right in Right},
        "role_names": ", ".join(texts.say(visitor.lang, f"role.{role}") for role in roles),
        "nav": [(key, path) for key, path, right in NAVIGATION if person is not None and person.may(right)],
        "words": {key: value for key, value in words.items() if key not in {"lang", "theme"}},
        "token": site.access.forms.token(visitor.form),
        "zone_name": site.settings.time_zone,
    }
    look = Look(visitor.lang, visitor.theme, site.zone)
    return site.renderer.page(template, look, {**frame, **facts})
