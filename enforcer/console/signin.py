"""Signing in and out: a password, or the provider's word for it. Every try is said in the chain."""

import math
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from enforcer.config.pages import Auth
from enforcer.console.access import Visitor, is_printable
from enforcer.console.asked import words_of
from enforcer.console.desk import Visit
from enforcer.console.roles import Person, Via
from enforcer.console.routes import answered, form_of, local_path, message, trouble
from enforcer.console.site import Site, html
from enforcer.console.throttle import network_of
from enforcer.errors import EnforcerError


async def _ask(site: Site, visitor: Visitor, words: Mapping[str, str], wrong: str | None = None) -> Response:
    """The page with the form, or with the way to the provider."""
    facts: dict[str, object] = {
        "auth": str(site.settings.auth),
        "next": local_path(words.get("next")),
        "wrong": wrong,
        "nobody": site.settings.auth is Auth.LOCAL and not site.access.users.now().by_name,
        "trouble": site.access.users.trouble,
    }
    return HTMLResponse(html(site, visitor, "signin.html", words, facts), 200 if wrong is None else 403)


async def _page(request: Request, site: Site, visitor: Visitor) -> Response:
    words = words_of(request.query_params.multi_items())
    if visitor.person is not None:
        return RedirectResponse(local_path(words.get("next")), 303)
    if site.settings.auth not in {Auth.LOCAL, Auth.OIDC}:
        return message(site, visitor, "trouble.nobody", 403)
    return await _ask(site, visitor, words)


async def _password(request: Request, site: Site, visitor: Visitor) -> Response:
    if site.settings.auth is not Auth.LOCAL:
        return message(site, visitor, "trouble.missing", 404)
    form = await form_of(request, site)
    if form is None:
        return message(site, visitor, "trouble.form", 403)
    name, now_s, access = form.get("name", "").strip(), site.access.seconds(), site.access
    keys = (f"name {name[:64]}", f"from {network_of(visitor.address)}")
    wait_s = access.throttle.wait_s(keys, now_s)
    if wait_s > 0:
        response = message(site, visitor, "signin.wait", 429, seconds=str(math.ceil(wait_s)))
        response.headers["retry-after"] = str(math.ceil(wait_s))
        return response
    access.throttle.failed(keys, now_s)  # before the slow look, so that many at once do not slip past
    async with access.hashing:
        person = await run_in_threadpool(access.users.now().check_password, name, form.get("password", ""))
    if person is None:
        refused = Visit("sign_in_refused", name if is_printable(name) else "?", Via.PASSWORD, visitor.address)
        return await told(site, visitor, refused) or await _ask(site, visitor, form, "signin.wrong")
    access.throttle.succeeded(keys[0])
    return await let_in(site, visitor, person, form.get("next"))


async def let_in(site: Site, visitor: Visitor, person: Person, after: str | None) -> Response:
    """Begin a session for somebody who has shown who they are."""
    failed = await told(site, visitor, Visit("sign_in", person.name, person.via, visitor.address))
    if failed is not None:
        return failed
    response = RedirectResponse(local_path(after), 303)
    site.access.sign_in(person, response)
    return response


async def told(site: Site, visitor: Visitor, visit: Visit) -> Response | None:
    """Have the chain say it; None, or what the visitor gets when that cannot be."""
    try:
        await run_in_threadpool(site.desk.visited, visit)
    except EnforcerError as error:
        return trouble(site, visitor, {}, error)
    return None


async def _out(request: Request, site: Site, visitor: Visitor) -> Response:
    if await form_of(request, site) is None:
        return message(site, visitor, "trouble.form", 403)
    response = RedirectResponse("/sign-in", 303)
    if visitor.person is not None and visitor.person.via in {Via.PASSWORD, Via.OIDC}:
        visit = Visit("sign_out", visitor.person.name, visitor.person.via, visitor.address)
        failed = await told(site, visitor, visit)
        site.access.sign_out(request, response if failed is None else failed)
        return failed or response
    return response


def routes() -> list[Route]:
    """The addresses."""
    return [
        Route("/sign-in", answered(_page), methods=["GET"]),
        Route("/sign-in", answered(_password), methods=["POST"]),
        Route("/sign-out", answered(_out), methods=["POST"]),
    ]
