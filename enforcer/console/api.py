"""The JSON API, /api/v1: the questions of the pages and of `enforcer attempts`, for programs.

openapi.yaml describes it. Who asks is known as on the pages, or by a token in the Authorization header. Errors are
problem details (RFC 9457).
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from enforcer import __version__
from enforcer.console import answers, export
from enforcer.console.access import Visitor
from enforcer.console.asked import Wrong
from enforcer.console.forms import is_foreign
from enforcer.console.roles import Right, Via
from enforcer.console.routes import answered, ask_of
from enforcer.console.site import Ask, Missing, Site
from enforcer.errors import Corrupt, EnforcerError, Unavailable

PREFIX = "/api/v1"
_TYPE = "application/problem+json"
_MARK = ("state", "note")

type Question = Callable[[Ask], Mapping[str, object] | Response]


@cache
def description() -> Mapping[str, object]:
    """The OpenAPI description."""
    text = files("enforcer.console").joinpath("openapi.yaml").read_text(encoding="utf-8")
    found: dict[str, object] = yaml.safe_load(text.replace("VERSION", __version__))
    return found


def page(ask: Ask) -> Mapping[str, object]:
    """The facts of the page that tells people of the API."""
    paths = description()["paths"]
    if not isinstance(paths, dict):
        raise Missing("the description is damaged")
    lang = str(ask.visitor.lang)
    rows = [
        (method.upper(), path, said["summary"], said.get("x-summary-fr", said["summary"]), said.get("x-right", "view"))
        for path, methods in paths.items()
        for method, said in methods.items()
        if method in {"get", "post"}
    ]
    shown = [(method, path, fr if lang == "fr" else en, right) for method, path, en, fr, right in rows]
    return {"here": None, "rows": shown, "origin": ask.site.settings.origin}


def problem(status: int, detail: str) -> JSONResponse:
    """Something that is wrong, in the form of RFC 9457."""
    titles = {400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed"}
    titles |= {409: "Conflict", 415: "Unsupported media type", 500: "Internal error", 503: "Unavailable"}
    content = {"title": titles.get(status, "Error"), "status": status, "detail": detail[:500]}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status, headers=headers, media_type=_TYPE)


def routes() -> list[Route]:
    """The addresses."""
    by_device, by_address = "/incidents/device/{device}/{service}", "/incidents/address/{realm}/{client_ip}/{service}"
    return [
        Route(f"{PREFIX}/openapi.json", _describe, methods=["GET"]),
        _get("/attempts", answers.list_attempts),
        _get("/attempts/export", export.attempts, Right.EXPORT),
        _get("/attempts/{id}", answers.show_attempt),
        _get("/attempts/{id}/chain", answers.show_chain),
        _get("/stats", answers.count_attempts),
        _get("/incidents", answers.list_incidents),
        _get(by_device, answers.show_incident),
        _get(by_address, answers.show_incident),
        _post(f"{by_device}/marks", answers.mark_incident, Right.MARK),
        _post(f"{by_address}/marks", answers.mark_incident, Right.MARK),
        _get("/devices/{device}", answers.show_device),
        _get("/sessions", answers.list_sessions),
        _get("/silent", answers.list_silent),
        _get("/policy", answers.show_policy),
        _get("/policy/check", answers.check_policy),
        _get("/status", answers.show_status),
        _get("/health", answers.show_health),
        _get("/events", answers.list_events, Right.AUDIT),
    ]


def _get(path: str, question: Question, right: Right = Right.VIEW) -> Route:
    async def endpoint(request: Request, site: Site, visitor: Visitor) -> Response:
        return _refused(visitor, right) or await _ask(question, ask_of(request, site, visitor))

    return Route(PREFIX + path, answered(endpoint), methods=["GET"])


def _post(path: str, question: Question, right: Right) -> Route:
    async def endpoint(request: Request, site: Site, visitor: Visitor) -> Response:
        refused = _refused(visitor, right)
        if refused is not None:
            return refused
        headers = request.headers
        by_token = visitor.person is not None and visitor.person.via is Via.TOKEN
        if not by_token and is_foreign(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")):
            return problem(403, "another site sends this")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return problem(415, "write application/json")  # which no form of another site can send
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError, ClientDisconnect):
            return problem(400, "the body is not JSON")
        if not isinstance(body, dict) or not all(
            key in _MARK and isinstance(value, str) for key, value in body.items()
        ):
            return problem(400, f"the body is not an object of texts named {', '.join(_MARK)}")
        return await _ask(question, ask_of(request, site, visitor, body))

    return Route(PREFIX + path, answered(endpoint), methods=["POST"])


def _refused(visitor: Visitor, right: Right) -> Response | None:
    if visitor.person is None:
        return problem(401, "sign in, or send a token")
    if not visitor.person.may(right):
        return problem(403, f'this needs the right "{right}"')
    return None


async def _ask(question: Question, ask: Ask) -> Response:
    try:
        answer = await run_in_threadpool(question, ask)
    except EnforcerError as error:
        return _problem_of(error)
    return answer if isinstance(answer, Response) else JSONResponse(answer)


def _problem_of(error: EnforcerError) -> Response:
    match error:
        case Wrong():
            return problem(400, str(error))
        case Missing():
            return problem(404, str(error))
        case Unavailable() | Corrupt():
            return problem(503, str(error))
        case _:
            return problem(400, str(error))


async def _describe(_: Request) -> Response:
    return JSONResponse(description())
