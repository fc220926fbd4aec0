"""The server behind the sinkhole's address: whatever is asked for, the block page. It has no sessions."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from enforcer.attempts.index import Filter, Index
from enforcer.blockpage import FIELDS, STATUS, Blocked, Notice, page
from enforcer.config.model import Config
from enforcer.console.policies import Policies
from enforcer.errors import EnforcerError, Malformed
from enforcer.policy.names import display, parse
from enforcer.policy.verdict import Client, Destination, Layer
from enforcer.wire.name import Name

RECENT_MS = 600_000
"""A DNS attempt of the same address and name not longer ago than this is what led here."""

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sinkhole:
    """What the page is made from. index: opened for one look."""

    config: Callable[[], Config]
    policies: Policies
    index: Callable[[], AbstractContextManager[Index]]
    clock: Callable[[], datetime]

    def body(self, host: str, client: str, accept_language: str | None) -> bytes:
        """The page for a request. host: as the header says it; client: the address that asks."""
        name = _name(host)
        notice = self.config().policy.notice
        blocked = self._blocked(name, client)
        return page(Notice(notice.en, notice.fr, notice.contact), blocked, accept_language)

    def _blocked(self, name: Name | None, client: str) -> Blocked:
        config = self.config()
        if name is None:
            return Blocked("–", None, None, config.policy.ban, None)
        shown = display(name)
        english = french = None
        ban = config.policy.ban
        try:
            policy = self.policies.in_force()
            rule = policy.judge(Destination(Layer.DNS, name=name), Client(realm=""), self.clock()).rule
            if rule is not None:
                title = policy.titles[rule.service]
                english, french, ban = title.en, title.fr, rule.ban or ban
        except EnforcerError as error:
            _log.warning("block_page event=no_policy error=%s", type(error).__name__)
        return Blocked(shown, english, french, ban, self._reference(shown, client))

    def _reference(self, name: str, client: str) -> str | None:
        """The id of the attempt that led here; None when there is none, or it cannot be looked up."""
        since_ms = int(self.clock().timestamp() * 1000) - RECENT_MS
        try:
            with self.index() as index:
                found = index.find(Filter(since_ms=since_ms, client_ip=client, name=name), 1)
        except EnforcerError:
            return None
        return found[0].id if found else None


def sinkhole_app(sinkhole: Sinkhole) -> Starlette:
    """The application."""

    async def answer(request: Request) -> Response:
        client = "" if request.client is None else request.client.host
        headers = request.headers
        body = await run_in_threadpool(sinkhole.body, headers.get("host", ""), client, headers.get("accept-language"))
        return Response(body, STATUS, headers=dict(FIELDS))

    return Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])


def _name(host: str) -> Name | None:
    """The name in a Host header, without its port; None for an address, or what is no name."""
    text = host.strip().rpartition(":")[0] if ":" in host and not host.endswith("]") else host.strip()
    try:
        return parse(text) if text and not text.startswith("[") else None
    except Malformed:
        return None
