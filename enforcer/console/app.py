"""The application: every address of the console, and what is around them."""

from collections.abc import Iterable
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from enforcer.config.pages import Auth, Console
from enforcer.console import api, export, live, search
from enforcer.console.access import Visitor
from enforcer.console.guard import Guard, headers_of
from enforcer.console.pages import attempts, devices, health, incidents, journal, overview, policy
from enforcer.console.roles import Right
from enforcer.console.routes import action, answered, lookup, message, page
from enforcer.console.signin import routes as sign_in_routes
from enforcer.console.site import Site

_STATIC = str(files("enforcer.console").joinpath("static"))
_BY_DEVICE, _BY_ADDRESS = "/incidents/device/{device}/{service}", "/incidents/address/{realm}/{client_ip}/{service}"


def make_app(site: Site) -> Starlette:
    """The console on this site. Raises Unavailable for a provider whose secret cannot be read."""
    settings = site.settings
    provider: list[BaseRoute] = []
    if settings.auth is Auth.OIDC:
        from enforcer.console.oidc import Provider  # noqa: PLC0415 (10 MB that nobody else needs)

        provider.append(Provider(settings).mount())
    app = Starlette(
        routes=[
            *_pages(),
            *_actions(),
            *provider,
            *sign_in_routes(),
            *api.routes(),
            Route("/live/stream", live.stream, methods=["GET"]),
            Route("/healthz", _alive, methods=["GET"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Guard, hosts=hosts_of(settings), secure=_is_secure(settings))],
        exception_handlers={404: answered_error, 405: answered_error, 500: answered_error},
    )
    app.state.site = site
    app.state.streams = live.Streams()
    return app


def _pages() -> Iterable[BaseRoute]:
    yield page("/", "overview.html", overview.view)
    yield page("/attempts", "attempts.html", attempts.listing)
    yield page("/attempts/{id}", "record.html", attempts.record)
    yield page("/incidents", "incidents.html", incidents.listing)
    yield page(_BY_DEVICE, "incident.html", incidents.one)
    yield page(_BY_ADDRESS, "incident.html", incidents.one)
    yield page("/devices/{device}", "device.html", devices.view)
    yield page("/policy", "policy.html", policy.view)
    yield page("/policy/lists/{name}", "list.html", policy.one)
    yield page("/health", "health.html", health.view)
    yield page("/journal", "journal.html", journal.view, Right.AUDIT)
    yield page("/live", "live.html", live.page)
    yield page("/api", "api.html", api.page)


def _actions() -> Iterable[BaseRoute]:
    yield action("/overview/export", export.overview_tables, Right.EXPORT)
    yield action("/devices/{device}/export", export.device_tables, Right.EXPORT)
    yield action("/policy/export", export.policy_tables, Right.EXPORT)
    yield action("/policy/lists/{name}/export", export.list_rules, Right.EXPORT)
    yield action("/attempts/export", export.attempts, Right.EXPORT)
    yield action("/incidents/export", export.listed_incidents, Right.EXPORT)
    yield action("/journal/export", export.journal, Right.AUDIT)
    yield action(_BY_DEVICE, incidents.mark, Right.MARK)
    yield action(_BY_ADDRESS, incidents.mark, Right.MARK)
    yield action("/health/reload", health.reload, Right.OPERATE)
    yield action("/health/pause", health.pause, Right.OPERATE)
    yield action("/health/resume", health.resume, Right.OPERATE)
    yield lookup("/search", search.target)


def hosts_of(settings: Console) -> frozenset[str]:
    """What a Host header may say: what browsers write for `url`, and on loopback our own address by its names."""
    listen = settings.listen
    found = {urlsplit(settings.origin).netloc}
    if settings.is_local:
        found |= {f"{listen}", f"localhost:{listen.port}"}
    return frozenset(found)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def answered_error(request: Request, error: Exception) -> Response:
    """A page for an address that is none, and for a fault of ours."""
    status = getattr(error, "status_code", 500)

    async def say(_: Request, site: Site, visitor: Visitor) -> Response:
        if request.url.path.startswith("/api/"):
            return api.problem(status, "no such address" if status != 500 else "a fault of ours; see the log")
        return message(site, visitor, "trouble.missing" if status in {404, 405} else "trouble.fault", status)

    response = await answered(say)(request)
    if status == 500:  # which Starlette sends from outside of the guard
        settings: Console = request.app.state.site.settings
        response.headers.update({"cache-control": "no-store", **headers_of(secure=_is_secure(settings))})
    return response


def _is_secure(settings: Console) -> bool:
    return settings.origin.startswith("https:")
