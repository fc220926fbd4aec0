from html.parser import HTMLParser

import pytest

from enforcer.blockpage import FIELDS, STATUS, Blocked, Notice, page, response

NOTICE = Notice("Blocked by policy", "Bloqué par la politique", "mailto:itsec@dept.example")
BLOCKED = Blocked("a.chat.test", "Chat", "Clavardage", "tbs-2023-10-30", "01KARSJ8T0C2V6M0QF1W3X9Z4B")


class Outline(HTMLParser):
    """Tags in their order, and the text in each language's section."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: dict[str, str] = {}
        self._lang = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "section":
            self._lang = str(dict(attrs)["lang"])

    def handle_data(self, data: str) -> None:
        self.text[self._lang] = self.text.get(self._lang, "") + data


def test_it_says_what_why_under_which_policy_and_whom_to_ask_in_both_languages() -> None:
    text = Outline(page(NOTICE, BLOCKED)).text
    for lang, own in (("en", ("Chat", "Blocked by policy")), ("fr", ("Clavardage", "Bloqué par la politique"))):
        for each in (*own, "a.chat.test", "tbs-2023-10-30", "itsec@dept.example", "01KARSJ8T0C2V6M0QF1W3X9Z4B"):
            assert each in text[lang]


@pytest.mark.parametrize(
    ("accepts", "first"),
    [
        (None, "en"),
        ("", "en"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("en-CA,fr;q=0.9", "en"),
        ("de, fr;q=0.5, en;q=0.1", "fr"),
        ("de", "en"),
        ("fr;q=x, en;q=0.1", "en"),
        ("FR", "fr"),
    ],
)
def test_accept_language_decides_the_order_alone(accepts: str | None, first: str) -> None:
    html = page(NOTICE, BLOCKED, accepts)
    outline = Outline(html)
    assert next(lang for lang in outline.text if lang) == first
    assert f'<html lang="{first}">'.encode() in html
    assert set(outline.text) - {""} == {"en", "fr"}


def test_both_languages_have_the_same_parts() -> None:
    tags = Outline(page(NOTICE, BLOCKED)).tags
    sections = [i for i, tag in enumerate(tags) if tag == "section"]
    english, french = tags[sections[0] : sections[1]], tags[sections[1] :]
    assert english == [tag.replace("h2", "h1") for tag in french]


def test_what_came_from_the_request_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    html = page(Notice(evil, evil, f"mailto:{evil}"), Blocked(evil, evil, evil, evil, evil))
    assert b"<script" not in html
    assert "script" not in Outline(html).tags


def test_what_is_not_known_is_left_out() -> None:
    html = page(Notice("No", "Non"), Blocked("a.test", None, None, None, None)).decode()
    assert all(word not in html for word in ("None", "Policy", "Reference", "Questions", "Référence"))


def test_it_loads_nothing_and_is_not_kept() -> None:
    fields = dict(FIELDS)
    assert fields["Cache-Control"] == "no-store"
    assert "default-src 'none'" in fields["Content-Security-Policy"]
    assert "unsafe" not in fields["Content-Security-Policy"]
    html = page(NOTICE, BLOCKED)
    assert all(each not in html for each in (b"src=", b"<link", b"<script", b"url("))


def test_the_response_is_whole() -> None:
    body = page(NOTICE, BLOCKED)
    head, _, rest = response(body).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {STATUS} Forbidden\r\n".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert rest == body
