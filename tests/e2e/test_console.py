"""The console as reviewers use it: a real Chromium, a running service, keyboard and pages; and axe on every page."""

import csv
import io
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from enforcer.blockpage import Blocked, Notice
from enforcer.blockpage import page as document
from tests.certificates import Authority
from tests.e2e.lan import ENFORCER, LAB, PHONE, TABLET, Service, Unbound, free_port, wait_for
from tests.tools import need

PASSWORD = "correct horse battery"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server")
EVIL = "<img src=x onerror=document.title='owned'>"


class Site:
    """A service with a console, people who may sign in, and a few attempts."""

    def __init__(self, service: Service, origin: str) -> None:
        self.service, self.origin = service, origin

    def add(self, name: str, *roles: str) -> None:
        words = [f"--role={role}" for role in roles]
        command = [str(ENFORCER), "console", "user", "add", name, *words, "--password-stdin"]
        subprocess.run(
            [*command, "--config", self.service.path], input=f"{PASSWORD}\n", text=True, check=True, capture_output=True
        )


@pytest.fixture(scope="module")
def site(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    with Service(tmp_path_factory.mktemp("console"), upstream.url) as service:
        service.change(console={"listen": f"127.0.0.1:{port}", "auth": "local"})
        found = Site(service, f"http://127.0.0.1:{port}")
        found.add("j.tremblay", "reviewer", "auditor", "operator")
        found.add("look", "viewer")
        service.start()
        for name, source in (("a.blocked.test", PHONE), ("b.blocked.test", PHONE), ("im7.test", TABLET)):
            assert service.dig(name, source=source).status in {"NXDOMAIN", "NOERROR"}
            service.dig(name, source=source)
        service.dig("only.test", source="127.0.0.9")
        lines = len(service.recorded(7))  # the repeats too, which have lines of their own
        wait_for(
            lambda: len(service.enforcer("attempts", "list", "--json").splitlines()) == lines,
            "the attempts are indexed",
        )
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        told = subprocess.run([need("chromium"), "--version"], capture_output=True, text=True, check=True).stdout
        assert browser.version in told  # the system's, not one that Playwright has brought along
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept: $ENFORCER_SCREENSHOTS, or the folder of this run of pytest."""
    folder = Path(os.environ.get("ENFORCER_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def context_of(browser: Browser, site: Site, **options: object) -> BrowserContext:
    context = browser.new_context(base_url=site.origin, viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    return context


def signed_in(context: BrowserContext, name: str = "j.tremblay") -> Page:
    """Sign in with the keyboard alone."""
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto("/sign-in")
    page.locator("#name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    assert errors == []
    return page


def test_a_reviewer_signs_in_filters_opens_a_device_marks_exports_and_reads_french(
    browser: Browser, site: Site
) -> None:
    with context_of(browser, site, locale="en-CA") as context:
        page = signed_in(context)
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        page.get_by_role("link", name="Attempts", exact=True).click()
        page.get_by_label("Name, and all below").fill("a.blocked.test")
        page.get_by_label("Period").select_option("24h")
        page.get_by_role("button", name="Apply").click()
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("a.blocked.test")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export CSV").click()
        rows_of_file = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
        assert {row["name"] for row in rows_of_file} == {"a.blocked.test"}
        rows.first.get_by_role("link", name="phone").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Device phone")
        page.get_by_role("link", name="Chat").first.click()
        page.get_by_label("explained").check()
        page.get_by_label(re.compile("Reason")).fill(EVIL)
        page.get_by_role("button", name="Record this mark").click()
        expect(page.get_by_role("status")).to_contain_text("was put into the chain")
        wait_for(
            lambda: (page.reload(), EVIL in "".join(page.locator(".timeline").all_inner_texts()))[1], "the mark is back"
        )
        assert page.title() != "owned"
        page.get_by_role("link", name="Français").click()
        expect(page.locator("html")).to_have_attribute("lang", "fr")
        expect(page.get_by_role("heading", name="Ce que disent les indices")).to_be_visible()
        page.get_by_role("link", name="Journal").click()
        expect(page.locator("tbody")).to_contain_text("console: attempts as csv")
        page.get_by_role("button", name="Déconnecter j.tremblay").click()
        page.wait_for_url("**/sign-in")
    log = site.service.log()
    said = [line["detail"] for line in log if line["type"] == "event" and line["event"] in {"visit", "mark", "access"}]
    assert [each.get("what") or each.get("look") or each.get("state") for each in said] == [
        *("sign_in", "export", "explained", "sign_out"),
    ]
    assert "The log is whole" in site.service.enforcer("attempts", "verify")


def test_new_attempts_appear_while_one_looks(browser: Browser, site: Site) -> None:
    with context_of(browser, site, reduced_motion="reduce") as context:
        page = signed_in(context, "look")
        page.goto("/live")
        expect(page.locator("#live-state")).to_have_text("Connected; 0 new.")
        site.service.dig("fresh.blocked.test", source=TABLET)
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("fresh.blocked.test")
        assert page.evaluate("document.getAnimations().length") == 0
        page.get_by_role("link", name="tablet").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Device tablet")
        page.go_back()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#live-state")).to_contain_text("Stopped")


PAGES = {
    "overview": "/?since=24h",
    "incidents": "/incidents?since=all",
    "incident": "/incidents/device/phone/chat",
    "attempts": "/attempts?since=all",
    "device": "/devices/phone",
    "policy": "/policy?target=a.blocked.test",
    "list": "/policy/lists/chat",
    "health": "/health",
    "journal": "/journal",
    "live": "/live",
    "api": "/api",
    "missing": "/nothing",
}


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.timeout(120)
def test_no_page_keeps_anybody_out(browser: Browser, site: Site, screenshots: Path, lang: str) -> None:
    """Of every page, light and dark, in both languages: no fault that axe-core knows, all of it within 320 px."""
    site.service.dig("c.blocked.test", source=LAB)
    wrong: list[str] = []
    with context_of(browser, site, locale=f"{lang}-CA") as context:
        outside = context.new_page()
        outside.goto("/sign-in")
        wrong += [f"sign-in: {each}" for each in faults(outside, screenshots / f"sign-in-{lang}")]
        page = signed_in(context)
        page.goto("/attempts?since=all")
        record = page.locator("tbody td a").first.get_attribute("href")
        assert record is not None
        for name, path in {**PAGES, "record": record}.items():
            page.goto(path)
            expect(page.locator("html")).to_have_attribute("lang", lang)
            wrong += [f"{name}: {each}" for each in faults(page, screenshots / f"{name}-{lang}")]
    assert wrong == []


def faults(page: Page, picture: Path) -> list[str]:
    """What keeps somebody out of a page, which is kept as a picture for each theme.

    In the dark only colours differ, so axe-core looks again at its one rule that is about them.
    """
    found = []
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    for theme, rules in (("light", None), ("dark", ["color-contrast"])):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        found += [f"{theme}: {each}" for each in violations(page, rules)]
        page.screenshot(path=picture.with_name(f"{picture.name}-{theme}.png"), full_page=True)
    page.set_viewport_size({"width": 320, "height": 800})
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    return found + ([f"{width} px wide"] if width > 320 else [])


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds (WCAG 2.1 A and AA and best practices; or by some rules alone), with the first elements."""
    options = None if rules is None else {"runOnly": {"type": "rule", "values": rules}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"][:3]]


CONTROLS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(each => each.checkVisibility() && !each.disabled && each.type !== "hidden")
  .map((each, number) => { each.dataset.number = number; return each.outerHTML.slice(0, 150); })"""
"""Numbers all that can be used; a group of radio buttons is entered at one of them, which is the chosen one."""
FOCUSED = """() => {
  const on = document.activeElement, style = getComputedStyle(on), box = on.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const seen = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0;
  return [on.dataset.number === undefined ? null : Number(on.dataset.number), ring && seen];
}"""


@pytest.mark.timeout(120)
def test_everything_can_be_reached_with_the_keyboard_and_is_seen_to_be(browser: Browser, site: Site) -> None:
    wrong: list[str] = []
    with context_of(browser, site) as context:
        page = signed_in(context)
        for name, path in PAGES.items():
            page.goto(path)
            controls = page.evaluate(CONTROLS)
            reached: list[int] = []
            for _ in range(len(controls) + 1):
                page.keyboard.press("Tab")
                number, is_seen = page.evaluate(FOCUSED)
                if number is None or number in reached:  # once round
                    break
                reached.append(number)
                wrong += [] if is_seen else [f"{name}: not seen: {controls[number]}"]
            left = set(range(len(controls))) - set(reached)
            wrong += [f"{name}: not reached: {controls[each]}" for each in left if 'type="radio"' not in controls[each]]
            assert reached == sorted(reached), name
        page.goto("/attempts")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to main content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    assert wrong == []


def test_the_block_page_is_accessible_too(browser: Browser, site: Site, screenshots: Path) -> None:
    html = document(
        Notice("Blocked by policy", "Bloqué par la politique", "mailto:itsec@dept.example"),
        Blocked("a.blocked.test", "Chat", "Clavardage", "dept-2026-04", "01KARSJ8T0C2V6M0QF1W3X9Z4B"),
        "fr",
    ).decode()
    for theme in ("light", "dark"):
        with context_of(browser, site, color_scheme=theme) as context:
            page = context.new_page()
            page.set_content(html)
            assert violations(page) == []
            page.screenshot(path=screenshots / f"block-page-{theme}.png")
            page.set_viewport_size({"width": 320, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_over_tls_with_a_certificate_that_is_renewed(upstream: Unbound, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.pair("first", "enforcer.dept.test"), authority.pair("second", "enforcer.dept.test")
    port = free_port()
    trusting = ssl.create_default_context(cafile=str(authority.pem))

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", port))

    def status(host: str) -> int:
        request = urllib.request.Request(f"https://127.0.0.1:{port}/", headers={"Host": host})
        try:
            with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:
                assert "max-age" in answer.headers["strict-transport-security"]
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    with Service(tmp_path / "tls", upstream.url) as service:
        console = {"listen": f"0.0.0.0:{port}", "url": "https://enforcer.dept.test"}
        service.change(console={**console, "certificate": str(first.certificate), "key": str(first.key)})
        service.start()
        assert status("enforcer.dept.test") == 200
        assert status("evil.test") == 421
        before = shown()
        first.key.write_bytes(second.key.read_bytes())
        first.certificate.write_bytes(second.certificate.read_bytes())
        wait_for(lambda: shown() != before, "the renewed certificate is shown")
        assert status("enforcer.dept.test") == 200


def test_it_does_not_start_open_to_a_network(upstream: Unbound, tmp_path: Path) -> None:
    with Service(tmp_path / "open", upstream.url) as service:
        service.change(console={"listen": f"0.0.0.0:{free_port()}", "auth": "open"})
        text = service.enforcer("run", status=2)
        assert "would be open to everybody there; write auth: local" in text
        assert 'write "certificate" and "key"' in text


def test_the_sinkholes_visitor_is_told_why(upstream: Unbound, tmp_path: Path) -> None:
    port = free_port()
    with Service(tmp_path / "sinkhole", upstream.url) as service:
        service.change(
            block_page={"listen": f"127.0.0.1:{port}"},
            **{"resolver.answer": "sinkhole", "resolver.sinkhole": ["127.0.0.1"]},
        )
        service.start()
        assert service.dig("a.blocked.test").data == ["127.0.0.1"]
        service.recorded(1)
        wait_for(lambda: "a.blocked.test" in service.enforcer("attempts", "list"), "the attempt is indexed")
        got = subprocess.run(
            [
                need("curl"),
                "-si",
                "--resolve",
                f"a.blocked.test:{port}:127.0.0.1",
                f"http://a.blocked.test:{port}/x?y=1",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert got.startswith("HTTP/1.1 403 ")
        (attempt,) = service.attempts()
        assert attempt["id"] in got
        assert "phone" not in got
        assert "y=1" not in got
