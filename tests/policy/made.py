"""Lists and policies for tests, from as little text as possible."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from ipaddress import ip_address

from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList, read_list
from enforcer.policy.names import parse
from enforcer.policy.rules import Port, Transport
from enforcer.policy.thirdparty import Source, ThirdParty, read_names
from enforcer.policy.verdict import Client, Destination, Layer

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CLIENT = Client(realm="office")
PLAIN = PolicySettings()

_HEAD = """\
service: {service}
title: {{en: Chat, fr: Causette}}
vendor: Example Ltd.
version: 2026.11.1
sources: {{DOC: "docs.test"}}
{more}
rules:
"""
_RULE = "  - {{{trigger}, part: {part}, evidence: app, confidence: official, source: DOC, seen: 2026}}\n"


def list_text(
    rules: Iterable[str], never_block: Iterable[str] = (), service: str = "chat", more: str = "", part: str = "general"
) -> str:
    """A list. rules: `suffix: chat.test`, or with further keys behind commas; never_block: `exact: cdn.test`."""
    text = _HEAD.format(service=service, more=more)
    text += "".join(_RULE.format(trigger=rule, part=f"{part}-{number}") for number, rule in enumerate(rules))
    kept = [f"  - {{{each}, why: neighbour}}\n" for each in never_block]
    return text + ("never_block:\n" + "".join(kept) if kept else "")


def a_list(
    *rules: str, never_block: Iterable[str] = (), service: str = "chat", more: str = "", name: str | None = None
) -> BlockList:
    return read_list(list_text(rules, never_block, service, more), f"lists/{name or service}.yaml", TODAY)


def third_party(text: str, name: str = "others", service: str = "others") -> ThirdParty:
    return read_names(text.encode().splitlines(keepends=True), Source(name, f"{name}.txt", service))


def a_policy(*lists: BlockList | ThirdParty, settings: PolicySettings = PLAIN) -> Policy:
    own = [each for each in lists if isinstance(each, BlockList)]
    others = [each for each in lists if isinstance(each, ThirdParty)]
    return Policy.load(compile_policy(own, others, settings))


def to(
    name: str | None = None,
    layer: Layer = Layer.DNS,
    *,
    address: str | None = None,
    port: str | None = None,
    path: str | None = None,
    fingerprint: str | None = None,
) -> Destination:
    transport, _, number = (port or "").partition("/")
    return Destination(
        layer,
        name=None if name is None else parse(name),
        address=None if address is None else ip_address(address),
        port=Port(Transport(transport), int(number)) if port else None,
        path=path,
        fingerprint=fingerprint,
    )
