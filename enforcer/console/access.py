"""Who asks: by the address alone, a cookie, a token, or what a front proxy says."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from starlette.requests import HTTPConnection
from starlette.responses import Response

from enforcer.config.pages import Auth, Console
from enforcer.console.forms import FormKey, new_cookie
from enforcer.console.roles import Person, Via, roles_of
from enforcer.console.sessions import Sessions
from enforcer.console.texts import Lang, negotiate
from enforcer.console.throttle import Throttle
from enforcer.console.users import UsersFile
from enforcer.devices.device import Network

SESSION, FORM = "__Host-enforcer", "__Host-enforcer-form"
_LANG, _THEME = "enforcer-lang", "enforcer-theme"
_THEMES = ("auto", "light", "dark")
HASHING_MOST = 2
"""Passwords that are looked at at once: each takes 64 MiB."""

_YEAR_S = 31_536_000
_NAME_MOST = 64
_LATELY_MOST = 2000


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever sends a request. person: None for nobody that is let in. address: of the other end.

    theme: None follows the system. form: the value of the form cookie, a new one where there was none.
    """

    person: Person | None
    address: str
    lang: Lang
    theme: str | None
    form: str


class Access:
    """How the configuration lets people in, and who has come in."""

    def __init__(self, settings: Console, users: UsersFile, clock: Callable[[], datetime]) -> None:
        self._settings, self._clock = settings, clock
        self.users = users
        self.sessions = Sessions(settings.idle_minutes * 60, settings.session_hours * 3600)
        self.throttle = Throttle()
        self.forms = FormKey()
        self._lately: OrderedDict[tuple[str, Via, str], float] = OrderedDict()
        self.hashing = asyncio.Semaphore(HASHING_MOST)

    def visitor(self, request: HTTPConnection) -> Visitor:
        """Who sends this."""
        address = "" if request.client is None else request.client.host
        cookies, query = request.cookies, request.query_params
        theme = query.get("theme") or cookies.get(_THEME)
        return Visitor(
            person=self._person(request, address),
            address=address,
            lang=negotiate(query.get("lang"), cookies.get(_LANG), request.headers.get("accept-language")),
            theme=theme if theme in {"light", "dark"} else None,
            form=cookies.get(FORM) or new_cookie(),
        )

    def keep(self, request: HTTPConnection, visitor: Visitor, response: Response) -> None:
        """Let the browser remember what it has chosen, and its form cookie."""
        query = request.query_params
        if query.get("lang") in {each.value for each in Lang}:
            _set(response, _LANG, str(visitor.lang), _YEAR_S)
        if query.get("theme") in _THEMES:
            _set(response, _THEME, str(query.get("theme")), _YEAR_S)
        if request.cookies.get(FORM) != visitor.form:
            _set(response, FORM, visitor.form)

    def arrives(self, visitor: Visitor) -> bool:
        """Whether somebody whom a front proxy or a token names has not been here lately: that is signing in too."""
        person = visitor.person
        if person is None or person.via not in {Via.PROXY, Via.TOKEN}:
            return False
        key, now_s = (person.name, person.via, visitor.address), self.seconds()
        last_s = self._lately.pop(key, None)
        self._lately[key] = now_s
        if len(self._lately) > _LATELY_MOST:
            self._lately.popitem(last=False)
        return last_s is None or now_s - last_s > self._settings.idle_minutes * 60

    def sign_in(self, person: Person, response: Response) -> None:
        """Begin a session: always a new one, so that nobody can have planted it."""
        _set(response, SESSION, self.sessions.begin(person, self.seconds()), strict=person.via is not Via.OIDC)

    def sign_out(self, request: HTTPConnection, response: Response) -> None:
        """End the session, if there is one."""
        value = request.cookies.get(SESSION)
        if value:
            self.sessions.end(value)
        response.delete_cookie(SESSION, path="/", secure=True, httponly=True, samesite="lax")

    def seconds(self) -> float:
        """The moment, in seconds."""
        return self._clock().timestamp()

    def _person(self, request: HTTPConnection, address: str) -> Person | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.users.now().check_token(token.strip())
        match self._settings.auth:
            case Auth.OPEN:
                roles = frozenset(self._settings.open_roles)
                return Person("local", roles, Via.OPEN) if _is_loopback(address) else None
            case Auth.PROXY:
                return self._named_by_proxy(request, address)
            case _:
                return self._signed_in(request)

    def _named_by_proxy(self, request: HTTPConnection, address: str) -> Person | None:
        proxy = self._settings.proxy
        if proxy is None or not _is_within(address, proxy.networks):
            return None
        names = request.headers.getlist(proxy.user_header)
        groups = [each.strip() for line in request.headers.getlist(proxy.roles_header) for each in line.split(",")]
        roles = roles_of(groups, proxy.roles)
        if len(names) != 1 or not is_printable(names[0]) or not roles:
            return None
        return Person(names[0], roles, Via.PROXY)

    def _signed_in(self, request: HTTPConnection) -> Person | None:
        value = request.cookies.get(SESSION)
        session = self.sessions.find(value, self.seconds()) if value else None
        if session is None:
            return None
        if session.person.via is Via.PASSWORD:  # the file may say otherwise since then: roles, password, or nobody
            return self.users.now().again(session.person)
        return session.person


def is_printable(name: str) -> bool:
    """Whether somebody can be named so in the audit record."""
    return 0 < len(name) <= _NAME_MOST and name.isprintable()


def _set(response: Response, name: str, value: str, max_age: int | None = None, *, strict: bool = False) -> None:
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="strict" if strict else "lax"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _is_within(address: str, networks: Iterable[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
