import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from enforcer.config.model import Config
from enforcer.config.pages import Console
from enforcer.console.app import hosts_of
from enforcer.console.guard import HEADERS
from tests.console.lab import HOST, Lab, attempt

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
