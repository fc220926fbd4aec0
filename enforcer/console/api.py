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
from enforcer.attempts.attempt import Attempt, Event
from enforcer.attempts.incidents import incident, incidents, plain_incident
from enforcer.attempts.index import By, Filter, Place
from enforcer.console import export
from enforcer.console.access import Visitor
from enforcer.console.asked import Wrong, place_text, read_filter, read_number, read_page
from enforcer.console.forms import is_foreign
from enforcer.console.pages import health as health_page
from enforcer.console.pages import incidents as incidents_page
from enforcer.console.pages import policy as policy_page
from enforcer.console.pages.common import standing
from enforcer.console.plain import plain_event, plain_record
from enforcer.console.roles import Right, Via
from enforcer.console.routes import answered, ask_of
from enforcer.console.site import Ask, Missing, Site
from enforcer.errors import Corrupt, EnforcerError, Unavailable

PREFIX = "/api/v1"
LIMIT, LIMIT_MOST = 100, 1000
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
        _get("/attempts", _attempts),
        _get("/attempts/export", export.attempts, Right.EXPORT),
        _get("/attempts/{id}", _attempt),
        _get("/stats", _stats),
        _get("/incidents", _incidents),
        _get(by_device, _incident),
        _get(by_address, _incident),
        _post(f"{by_device}/marks", _mark, Right.MARK),
        _post(f"{by_address}/marks", _mark, Right.MARK),
        _get("/devices/{device}", _device),
        _get("/policy", _policy),
        _get("/policy/check", _check),
        _get("/health", _health),
        _get("/events", _events, Right.AUDIT),
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


def _attempts(ask: Ask) -> Mapping[str, object]:
    which, where = read_filter(ask.words, ask.now), read_page(ask.words)
    size = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    with ask.site.index() as index:
        lines = [
            line
            for line in index.find(which, size, older=where.older, newer=where.newer)
            if isinstance(line.entry, Attempt)
        ]
    places = [Place(line.entry.time_ms, line.seq) for line in lines if isinstance(line.entry, Attempt)]
    return {
        "attempts": [plain_record(line) for line in lines],
        "older": place_text(places[-1]) if len(places) == size else None,
        "newer": place_text(places[0]) if places else None,
    }


def _attempt(ask: Ask) -> Mapping[str, object]:
    with ask.site.index() as index:
        line = index.get(ask.path["id"].upper())
    if line is None:
        raise Missing("no such attempt")
    return plain_record(line)


def _stats(ask: Ask) -> Mapping[str, object]:
    which = read_filter(ask.words, ask.now)
    by = ask.words.get("by", "service")
    if by not in {each.value for each in By}:
        raise Wrong("by", by)
    limit = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    with ask.site.index() as index:
        found = index.stats(By(by), which, limit)
    return {"by": by, "counts": [{"key": each.key, "attempts": each.attempts, "lines": each.lines} for each in found]}


def _incidents(ask: Ask) -> Mapping[str, object]:
    which, states = read_filter(ask.words, ask.now), incidents_page.states_of(ask.words)
    number = read_number(ask.words, "page", 1, 1, 10_000)
    size = read_number(ask.words, "limit", 50, 1, 200)
    with ask.site.index() as index:
        found = incidents(index, which, states, size + 1, (number - 1) * size)
    return {
        "incidents": [plain_incident(each) for each in found[:size]],
        "page": number,
        "next": number + 1 if len(found) > size else None,
    }


def _incident(ask: Ask) -> Mapping[str, object]:
    with ask.site.index() as index:
        found = incident(index, incidents_page.subject_of(ask.path), ask.path["service"])
    if found is None:
        raise Missing("no such incident")
    return plain_incident(found)


def _mark(ask: Ask) -> Mapping[str, object]:
    incidents_page.mark(ask)
    return {"state": ask.form["state"], "note": ask.form.get("note", "").strip(), "who": ask.person.name}


def _device(ask: Ask) -> Mapping[str, object]:
    device = ask.path["device"]
    which = Filter(device=device)
    with ask.site.index() as index:
        found = incidents(index, which, limit=200)
        layers = index.stats(By.LAYER, which)
    if not found:
        raise Missing("no such device")
    return {
        "device": device,
        "group": found[0].group,
        "incidents": [plain_incident(each) for each in found],
        "by_layer": {str(each.key): each.attempts for each in layers},
    }


def _policy(ask: Ask) -> Mapping[str, object]:
    policy, config = ask.site.policies.in_force(), ask.site.config()
    said = standing(ask.site)
    return {
        "ban": said.ban,
        "ruleset": policy.ruleset,
        "enforced": said.enforced,
        "monitored": list(said.monitored),
        "pauses": [{"realm": each.realm, "until": each.until.isoformat()} for each in said.pauses],
        "lists": [
            {
                "name": each.name,
                "service": each.service,
                "title": {"en": each.title.en, "fr": each.title.fr},
                "vendor": each.vendor,
                "version": each.version,
                "ban": each.ban,
                "mode": str(each.mode),
                "rules": len(each.rules),
            }
            for each in policy.lists
        ],
        "third_party": [
            {"name": each.source.name, "service": each.source.service, "names": each.suffixes + each.exacts}
            for each in policy.third_party
        ],
        "exemptions": [
            {
                "device": each.exemption.device,
                "group": each.exemption.group,
                "services": list(each.exemption.services),
                "until": each.exemption.until.isoformat(),
                "days_left": each.days,
                "reason": each.exemption.reason,
                "approved_by": each.exemption.approved_by,
            }
            for each in policy_page.held(config.policy.exemptions, ask.now)
        ],
    }


def _check(ask: Ask) -> Mapping[str, object]:
    text = ask.words.get("target", "")
    tried = policy_page.judged(ask.site.policies.in_force(), text, ask.now)
    rule = tried.verdict.rule
    return {
        "target": text,
        "action": str(tried.verdict.action),
        "service": rule and rule.service,
        "part": rule and rule.part,
        "rule": rule and rule.id,
        "list": rule and rule.list,
        "line": rule and rule.line,
        "source": rule and rule.source,
    }


def _health(ask: Ask) -> Mapping[str, object]:
    found = health_page.gathered(ask)
    return {
        "hub": found.trouble is None,
        "problems": found.problems if found.trouble is None else [found.trouble],
        "log_sequence": found.number("log_sequence"),
        "index_lag": found.number("index_lag"),
        "processes": [
            {"name": each.name, "up": each.up, "restarts": each.restarts, "generation": each.generation}
            for each in found.processes
        ],
        "spool": [{"worker": name, "bytes": size, "oldest_s": oldest} for name, size, oldest in found.spool()],
    }


def _events(ask: Ask) -> Mapping[str, object]:
    which, where = read_filter(ask.words, ask.now), read_page(ask.words)
    size = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    kind = ask.words.get("event")
    with ask.site.index() as index:
        lines = index.events(
            () if kind is None else (kind,),
            size,
            since_ms=which.since_ms,
            until_ms=which.until_ms,
            older=where.older,
            newer=where.newer,
        )
    events = [(line, line.entry) for line in lines if isinstance(line.entry, Event)]
    places = [Place(event.time_ms, line.seq) for line, event in events]
    return {
        "events": [plain_event(line) for line, _ in events],
        "older": place_text(places[-1]) if len(places) == size else None,
        "newer": place_text(places[0]) if places else None,
    }
