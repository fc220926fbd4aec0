"""From an address to a view and back: who may, in which thread, and what is answered when something is wrong."""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from enforcer.config.pages import Auth
from enforcer.console.access import FORM, Visitor
from enforcer.console.asked import Wrong, words_of
from enforcer.console.desk import Visit
from enforcer.console.forms import FIELD, is_foreign
from enforcer.console.roles import Right
from enforcer.console.site import Ask, Missing, Site, html
from enforcer.errors import Corrupt, EnforcerError, Unavailable

type View = Callable[[Ask], Mapping[str, object]]
"""A page's facts. Runs in a thread: it may read the index and ask the hub."""

type Action = Callable[[Ask], str | Response]
"""Does something; returns where to go from there, or the answer itself."""


type Handler = Callable[[Request, Site, Visitor], Awaitable[Response]]


def page(path: str, template: str, view: View, right: Right = Right.VIEW) -> Route:
    """An address with a page."""

    async def endpoint(request: Request, site: Site, visitor: Visitor) -> Response:
        refused = refusal(request, site, visitor, right)
        if refused is not None:
            return refused
        ask = ask_of(request, site, visitor)
        try:
            facts = await run_in_threadpool(view, ask)
        except EnforcerError as error:
            return trouble(site, visitor, ask.words, error)
        return HTMLResponse(await run_in_threadpool(html, site, visitor, template, ask.words, facts))

    return Route(path, answered(endpoint), methods=["GET"])


def action(path: str, do: Action, right: Right) -> Route:
    """An address that a form of ours is sent to."""

    async def endpoint(request: Request, site: Site, visitor: Visitor) -> Response:
        refused = refusal(request, site, visitor, right)
        if refused is not None:
            return refused
        form = await form_of(request, site)
        if form is None:
            return message(site, visitor, "trouble.form", 403)
        ask = ask_of(request, site, visitor, form)
        try:
            done = await run_in_threadpool(do, ask)
        except EnforcerError as error:
            return trouble(site, visitor, ask.words, error)
        return done if isinstance(done, Response) else RedirectResponse(done, 303)

    return Route(path, answered(endpoint), methods=["POST"])


def lookup(path: str, find: Callable[[Ask], str]) -> Route:
    """An address that only leads to another one."""

    async def endpoint(request: Request, site: Site, visitor: Visitor) -> Response:
        refused = refusal(request, site, visitor, Right.VIEW)
        if refused is not None:
            return refused
        ask = ask_of(request, site, visitor)
        try:
            return RedirectResponse(await run_in_threadpool(find, ask), 303)
        except EnforcerError as error:
            return trouble(site, visitor, ask.words, error)

    return Route(path, answered(endpoint), methods=["GET"])


def answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """What is done before and after each page: who asks, and what the browser is to remember."""

    async def endpoint(request: Request) -> Response:
        site: Site = request.app.state.site
        visitor = site.access.visitor(request)
        response = await _arrival(site, visitor) or await handler(request, site, visitor)
        site.access.keep(request, visitor, response)
        response.headers["content-language"] = str(visitor.lang)
        response.headers["vary"] = "Cookie, Accept-Language"
        return response

    return endpoint


async def _arrival(site: Site, visitor: Visitor) -> Response | None:
    """Have the chain say who comes by a front proxy or with a token; None, or what is answered when it cannot."""
    person = visitor.person
    if person is not None and site.access.arrives(visitor):
        try:
            await run_in_threadpool(site.desk.visited, Visit("sign_in", person.name, person.via, visitor.address))
        except EnforcerError as error:
            return trouble(site, visitor, {}, error)
    return None


async def form_of(request: Request, site: Site) -> dict[str, str] | None:
    """The fields of a form that one of our own pages has sent; None for any other."""
    headers = request.headers
    if is_foreign(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")):
        return None
    try:
        async with request.form(max_files=0, max_fields=40) as form:
            fields = {key: value for key, value in form.multi_items() if isinstance(value, str)}
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"starlette", "python_multipart"}:
            raise
        return None
    return fields if site.access.forms.fits(request.cookies.get(FORM), fields.get(FIELD)) else None


def ask_of(request: Request, site: Site, visitor: Visitor, form: Mapping[str, str] | None = None) -> Ask:
    """The request as views see it; only for a visitor who was let in."""
    if visitor.person is None:
        raise Missing("nobody asks")
    words = words_of(request.query_params.multi_items())
    path = {key: str(value) for key, value in request.path_params.items()}
    return Ask(site, visitor, visitor.person, words, path, site.clock(), form or {})


def refusal(request: Request, site: Site, visitor: Visitor, right: Right) -> Response | None:
    """What somebody gets who may not; None for who may."""
    if visitor.person is None:
        if site.settings.auth in {Auth.LOCAL, Auth.OIDC}:
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            after = f"?next={quote(here, safe='')}" if request.method == "GET" and here != "/" else ""
            return RedirectResponse(f"/sign-in{after}", 303)
        return message(site, visitor, "trouble.nobody", 403)
    if not visitor.person.may(right):
        return message(site, visitor, "trouble.right", 403)
    return None


def trouble(site: Site, visitor: Visitor, words: Mapping[str, str], error: EnforcerError) -> Response:
    """What a page says when it cannot be made."""
    match error:
        case Wrong():
            named = {"key": _label(site, visitor, error.key), "value": error.value}
            return message(site, visitor, "trouble.wrong", 400, words=words, again=error.key in words, **named)
        case Missing():
            return message(site, visitor, "trouble.missing", 404)
        case Unavailable() | Corrupt():
            return message(site, visitor, "trouble.unavailable", 503, words=words, detail=str(error))
        case _:
            return message(site, visitor, "trouble.refused", 400, words=words, detail=str(error))


def message(
    site: Site,
    visitor: Visitor,
    text: str,
    status: int,
    *,
    words: Mapping[str, str] | None = None,
    again: bool = False,
    **values: str,
) -> Response:
    """A page that says one thing.

    text: its key; detail, among the values: what stands under it, in any language. again: the same address without
    its query is worth another try.
    """
    detail = values.pop("detail", None)
    facts = {"message": text, "values": values, "detail": detail, "again": again}
    return HTMLResponse(html(site, visitor, "message.html", words or {}, facts), status)


def _label(site: Site, visitor: Visitor, key: str) -> str:
    """What the forms call a word of the query."""
    texts = site.renderer.texts
    found = next((text for text in (f"filter.{key}", f"col.{key}") if texts.has(text)), None)
    return key if found is None else texts.say(visitor.lang, found)


def local_path(text: str | None) -> str:
    """An address of ours, to go on to; `/` for anything that could lead elsewhere."""
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text
