"""What a browser shows instead of a banned page: one whole document in both official languages. Pure.

Shared by the sinkhole's server and the proxy. It names what was blocked, why, under which policy and whom to ask; never
a device, an address, a path or a query string. The status is 403: 451 is for demands of the law (RFC 7725 §3).
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape

STATUS = 403

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 1.5rem 1rem; background: light-dark(#f4f6f8, #10161d); color: light-dark(#1b232d, #e4eaf1);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 62rem; margin: 0 auto; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
section { background: light-dark(#ffffff, #18202a); border: 1px solid light-dark(#d5dce4, #303c4a);
  border-top: 5px solid light-dark(#16324f, #86bdf0); border-radius: 6px; padding: 1.25rem 1.4rem; }
h1, h2 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 0.75rem; }
dt { color: light-dark(#4d5a68, #a9b6c4); font-size: 0.875rem; margin-top: 0.75rem; }
dd { margin: 0; }
a { color: light-dark(#0b5394, #86bdf0); }
a:focus-visible { outline: 3px solid light-dark(#b25000, #ffb454); outline-offset: 2px; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
"""
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

FIELDS: tuple[tuple[str, str], ...] = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Language", "en, fr"),
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Accept-Language"),
    ("X-Content-Type-Options", "nosniff"),
)
"""The header fields that belong to the page."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What users are told of every block. en, fr: why, in each language. contact: a mailto: or tel: URI."""

    en: str
    fr: str
    contact: str | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """One refusal. what: the host's name, or the address. en, fr: what people call the service, None if not known.

    ban: the instrument. reference: what support finds the record by, which names no device; None if not known.
    """

    what: str
    en: str | None
    fr: str | None
    ban: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class _Words:
    lang: str
    title: str
    what: str
    why: str
    policy: str
    ask: str
    reference: str
    recorded: str


_EN = _Words(
    lang="en",
    title="This service is blocked",
    what="What was blocked",
    why="Why",
    policy="Policy",
    ask="Questions",
    reference="Reference",
    recorded="This page comes from your organization’s network. Attempts to reach blocked services are recorded.",
)
_FR = _Words(
    lang="fr",
    title="Ce service est bloqué",
    what="Ce qui a été bloqué",
    why="Pourquoi",
    policy="Politique",
    ask="Questions",
    reference="Référence",
    recorded="Cette page provient du réseau de votre organisation. "
    "Les tentatives d’accès aux services bloqués sont consignées.",
)


def page(notice: Notice, blocked: Blocked, accept_language: str | None = None) -> bytes:
    """The document. accept_language: the header as it came; it decides the order of the languages, and nothing else."""
    languages = (_FR, _EN) if _prefers_french(accept_language) else (_EN, _FR)
    titles = " / ".join(escape(words.title) for words in languages)
    headings = zip(("h1", "h2"), languages, strict=True)
    shown = "".join(_section(heading, words, blocked, notice) for heading, words in headings)
    return (
        f'<!doctype html>\n<html lang="{languages[0].lang}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="robots" content="noindex">\n'
        f"<title>{titles}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{shown}</main>\n</body>\n</html>\n"
    ).encode()


def response(body: bytes) -> bytes:
    """The page as a complete HTTP/1.1 response, after which the connection is closed."""
    fields = (*FIELDS, ("Content-Length", str(len(body))), ("Connection", "close"))
    head = f"HTTP/1.1 {STATUS} Forbidden\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{head}\r\n".encode("ascii") + body


def _section(heading: str, words: _Words, blocked: Blocked, notice: Notice) -> str:
    service, why = (blocked.en, notice.en) if words is _EN else (blocked.fr, notice.fr)
    contact = notice.contact
    what = f"<code>{escape(blocked.what)}</code>"
    facts = [(words.what, f"{escape(service)} – {what}" if service else what), (words.why, escape(why))]
    if blocked.ban is not None:
        facts.append((words.policy, escape(blocked.ban)))
    if contact is not None:
        facts.append((words.ask, f'<a href="{escape(contact)}">{escape(contact.partition(":")[2])}</a>'))
    if blocked.reference is not None:
        facts.append((words.reference, f"<code>{escape(blocked.reference)}</code>"))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in facts)
    return (
        f'<section lang="{words.lang}">\n<{heading}>{words.title}</{heading}>\n<dl>\n{rows}</dl>\n'
        f"<p>{words.recorded}</p>\n</section>\n"
    )


def _prefers_french(accept_language: str | None) -> bool:
    """Whether French is asked for before English (RFC 9110 §12.5.4); the weights as far as they can be read."""
    weights = {"en": 0.0, "fr": 0.0}
    for item in (accept_language or "")[:500].split(","):
        tag, _, parameter = item.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        if language in weights:
            weights[language] = max(weights[language], weight)
    return weights["fr"] > weights["en"]
