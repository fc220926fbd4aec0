import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from enforcer.attempts.attempt import Event
from enforcer.config.model import Config
from enforcer.config.pages import Console
from enforcer.console.access import FORM
from enforcer.console.app import hosts_of
from enforcer.console.desk import Desk
from enforcer.console.guard import HEADERS
from tests.cli.site import LIST
from tests.console.conftest import Open
from tests.console.lab import HOST, SESSIONS, STATUS, Lab, attempt, make_lab, settings
from tests.console.signing import token_of
from tests.records import NOON_MS

PAGES = (
    "/",
    "/?since=24h",
    "/attempts",
    "/attempts?service=chat&layer=tls&since=all",
    "/incidents",
    "/incidents/device/dev-1/chat",
    "/incidents/address/lab/192.0.2.1/chat",
    "/devices/dev-1",
    "/policy",
    "/policy?target=a.chat.test",
    "/policy/lists/chat",
    "/health",
    "/journal",
    "/live",
    "/api",
)
EVIL = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every element and its attributes, and whether what is opened is closed in order."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "rect", "line", "path", "circle"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_whole_and_says_its_language(shared: TestClient, path: str, lang: str) -> None:
    answer = shared.get(f"{path}{'&' if '?' in path else '?'}lang={lang}")
    assert answer.status_code == 200
    assert answer.headers["content-language"] == lang
    tags = Tags(answer.text)
    assert tags.open == []
    assert ("html", {"lang": lang}) in tags.found
    names = [tag for tag, _ in tags.found]
    assert names.count("h1") == 1
    assert names.count("main") == 1
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_script_or_style_of_its_own(shared: TestClient, path: str) -> None:
    for tag, attrs in Tags(shared.get(path).text).found:
        assert tag != "style"
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        if tag == "script":
            assert str(attrs["src"]).startswith("/static/")


def test_the_script_reads_nothing_as_html(shared: TestClient) -> None:
    script = shared.get("/static/live.js").text
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function", script)


@pytest.mark.parametrize("path", PAGES)
def test_every_field_of_a_form_has_a_label(shared: TestClient, path: str) -> None:
    tags = Tags(shared.get(path).text).found
    labels = {attrs.get("for") for tag, attrs in tags if tag == "label"}
    for tag, attrs in tags:
        if tag in {"input", "select", "textarea"} and attrs.get("type") not in {"hidden", "radio"}:
            assert attrs["id"] in labels


def test_what_comes_from_devices_and_people_is_text_on_every_page(lab: Lab) -> None:
    rule = f"chat/suffix/{EVIL}"
    lab.write(attempt(5, "dev-1", name=EVIL, part=EVIL, rule=rule, realm=EVIL, via=EVIL, qtype=EVIL, service="chat"))
    with lab.client() as client:
        incident = client.get("/incidents?since=all").text
        path = re.search(r'href="(/incidents/device/dev-1/chat)"', incident)
        assert path is not None
        marked = client.post(path[1], data={"state": "open", "note": EVIL, "token": _token(client.get(path[1]).text)})
        assert marked.status_code == 303
        record = re.search(r'href="(/attempts/[0-9A-Z]{26})"', client.get("/attempts").text)
        assert record is not None
        for page in ("/", "/attempts", "/incidents?since=all", path[1], record[1], "/journal", "/live"):
            html = client.get(page).text
            assert "<script>alert" not in html
            assert "<img" not in html
        words = f"?since=all&name=x.test&service={EVIL}&rule={EVIL}"
        assert "<img" not in client.get(f"/attempts{words}").text
        assert "<img" not in client.get("/attempts", params={"since": EVIL}).text
        assert "<img" not in client.get("/policy", params={"target": EVIL}).text
        assert "<img" not in client.get("/policy/lists/chat", params={"find": EVIL}).text


def test_what_lists_and_the_operator_and_the_hub_say_is_text_too(tmp_path: Path) -> None:
    """Every field that a page shows and that somebody has written: all of them hold an attack."""
    evil = json.dumps(EVIL)
    text = LIST.replace("{en: Chat, fr: Clavardage}", f"{{en: {evil}, fr: {evil}}}")
    for harmless in ("Example Ltd.", '"our own capture"', '"the department\'s own mail"'):
        assert harmless in text
        text = text.replace(harmless, evil)
    values = settings()
    exemption = {"device": "dev-1", "services": ["chat"], "until": "2027-03-31", "reason": EVIL, "approved_by": EVIL}
    values["policy"] = {"lists": ["chat.yaml"], "ban": EVIL, "exemptions": [exemption]}
    visit = Event("visit", NOON_MS, "gw-1", {"what": "sign_in_refused", "who": EVIL, "via": "password", "from": EVIL})
    mark = {"device": "dev-1", "realm": None, "client_ip": None, "service": "chat", "state": "open"}
    marked = Event("mark", NOON_MS, "gw-1", {**mark, "note": EVIL, "who": EVIL})
    other = Event(EVIL[:40], NOON_MS, "gw-1", {EVIL: EVIL})
    lab = make_lab(tmp_path, values, (attempt(1), visit, marked, other), text)
    session = {**SESSIONS[0], "group": EVIL, "addresses": [EVIL], "source": EVIL, "state": EVIL, "realm": EVIL}
    status = {**STATUS, "problems": [EVIL], "processes": {EVIL: {"up": True}}, "spool": {EVIL: {"bytes": 1}}}
    told: dict[str, dict[str, object]] = {"status": status, "sessions": {"sessions": [session]}}
    label = EVIL.replace('"', '\\"')
    metrics = f'# TYPE enforcer_sink_lag_seconds gauge\nenforcer_sink_lag_seconds{{sink="{label}"}} 1\n'
    desk = Desk(lambda request: told[str(request["op"])], lambda: metrics)
    lab.app.state.site = replace(lab.site, desk=desk)
    record = re.search(r'href="(/attempts/[0-9A-Z]{26})"', lab.client().get("/attempts?since=all").text)
    assert record is not None
    seen = 0
    for path in (*PAGES, record[1]):
        answer = lab.client().get(path)
        assert (path, answer.status_code) in {(path, 200), (path, 404)}
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        seen += answer.text.count("&lt;img src=x")
    assert seen > 30
    lab.writer.close()
    lab.log.close()


def addresses(lab: Lab, method: str) -> list[str]:
    """Every address that takes a method, filled with what there is."""
    there = {"device": "dev-1", "service": "chat", "realm": "lab", "client_ip": "192.0.2.1", "name": "chat", "id": "x"}
    return [
        route.path.format(**there)
        for route in lab.app.routes
        if isinstance(route, Route) and method in (route.methods or ())
    ]


def test_nobody_is_told_anything_before_signing_in(opened: Open) -> None:
    """Every address there is, also those of tomorrow; but for the way in, the process's health and static files."""
    lab = opened(auth="local")
    client = lab.client()
    for path in addresses(lab, "GET"):
        answer = client.get(path)
        if path in {"/healthz", "/sign-in", "/api/v1/openapi.json"}:
            assert answer.status_code == 200
        elif path.startswith("/api/") or path == "/live/stream":
            assert answer.status_code == 401, path
        else:
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path
    for path in addresses(lab, "POST"):
        form = {"token": token_of(client.get("/sign-in").text), "format": "csv", "state": "closed", "note": "x"}
        answer = client.post(path, data=form) if not path.startswith("/api/") else client.post(path, json={})
        assert answer.status_code in {401, 303, 403}, path
    assert [(each["op"], each["what"]) for each in lab.asked] == [("visit", "sign_in_refused")]


def test_no_form_of_another_site_does_anything(opened: Open) -> None:
    lab = opened()
    client = lab.client()
    token = token_of(client.get("/attempts").text)
    form = {"format": "csv", "state": "closed", "note": "x", "realm": "lab", "minutes": "5", "reason": "x"}
    for path in addresses(lab, "POST"):
        if path.startswith("/api/"):  # which takes JSON alone: see test_api
            continue
        for data, headers in (
            (form, {}),
            ({**form, "token": "0" * 64}, {}),
            ({**form, "token": token}, {"sec-fetch-site": "cross-site"}),
            ({**form, "token": token}, {"sec-fetch-site": "same-site"}),
        ):
            answer = client.post(path, data=data, headers=headers)
            assert answer.status_code == (404 if path == "/sign-in" else 403), (path, headers)
    assert lab.asked == []


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", set()),
        ("reviewer", {"export", "chat"}),
        ("operator", {"reload", "pause", "resume"}),
        ("auditor", {"export", "journal"}),
    ],
)
def test_a_role_does_what_it_is_for_and_nothing_else(opened: Open, role: str, may: set[str]) -> None:
    """By the last word of the address, `chat` being the incidents'; the journal's export is for auditors alone."""
    lab = opened(open_roles=[role])
    client = lab.client()
    client.get("/")
    token = lab.site.access.forms.token(client.cookies[FORM])
    form = {"format": "csv", "state": "closed", "note": "x", "realm": "lab", "minutes": "5", "reason": "x"}
    for path in addresses(lab, "POST"):
        word = path.rpartition("/")[2]
        if path.startswith(("/api/", "/sign-")):
            continue
        allowed = word in may and (path != "/journal/export" or "journal" in may)
        answer = client.post(path, data={**form, "token": token})
        assert (answer.status_code != 403) == allowed, path


def _token(html: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found[1]


def test_an_address_that_is_none_has_a_page_too(shared: TestClient) -> None:
    answer = shared.get("/nothing", headers={"accept-language": "fr"})
    assert answer.status_code == 404
    assert "Introuvable" in answer.text
    assert shared.post("/attempts").status_code == 405
    assert shared.get("/api/v1/nothing").json()["status"] == 404


def test_a_fault_of_ours_has_a_page_with_the_same_guards(lab: Lab) -> None:
    def broken() -> Config:
        raise ZeroDivisionError(EVIL)

    lab.app.state.site = replace(lab.site, config=broken)
    with TestClient(
        lab.app, base_url=f"https://{HOST}", client=("127.0.0.1", 50_000), raise_server_exceptions=False
    ) as client:
        answer = client.get("/policy", headers={"accept-language": "fr"})
        told = client.get("/api/v1/policy")
    assert answer.status_code == told.status_code == 500
    assert "La console a commis une erreur" in answer.text
    assert "ZeroDivisionError" not in answer.text + told.text
    for each in (answer, told):
        assert {name: each.headers[name] for name in HEADERS} == HEADERS
        assert each.headers["cache-control"] == "no-store"


def test_nothing_moves_for_whoever_wants_it_still(shared: TestClient) -> None:
    css = shared.get("/static/console.css").text
    still, _, rest = css.partition("@media (prefers-reduced-motion: no-preference) {")
    moving = rest.partition("\n}")[0]
    assert "animation" in moving
    assert not re.search("animation|transition|scroll-behavior", still + rest[len(moving) :])


def test_static_files_may_be_kept_and_pages_not(shared: TestClient) -> None:
    assert "cache-control" not in shared.get("/static/console.css").headers
    assert shared.get("/").headers["cache-control"] == "no-store"
    assert shared.get("/healthz").text == "ok\n"


def test_hosts_are_the_address_and_what_browsers_write() -> None:
    assert hosts_of(Console()) == {"127.0.0.1:9311", "localhost:9311"}
    assert hosts_of(Console(url="https://enforcer.dept.example")) == {
        "127.0.0.1:9311",
        "localhost:9311",
        "enforcer.dept.example",
    }
