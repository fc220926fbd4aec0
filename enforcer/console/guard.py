"""What holds for every request and answer, whatever the page: who may be named as host, how much may be sent, headers.

Plain ASGI, so that the live tail flows through it.
"""

from collections.abc import Collection, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MOST = 65_536
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_STRICT_TRANSPORT = "max-age=31536000"
_FREE_PATH = "/healthz"


def headers_of(*, secure: bool) -> Mapping[str, str]:
    """What every page is sent with. secure: pages come over TLS."""
    return HEADERS | ({"strict-transport-security": _STRICT_TRANSPORT} if secure else {})


class Guard:
    """Around the whole application.

    hosts: what Host may say, lower case, with the port where it is not the scheme's own: a page of somebody else's
    that has been led to our address (DNS rebinding) names its own. secure: pages come over TLS.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], secure: bool) -> None:
        self._app, self._hosts = app, frozenset(hosts)
        self._headers = headers_of(secure=secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(headers, scope["path"])

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    out.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    out.setdefault("cache-control", "no-store")
            await send(message)

        if refused is not None:
            await refused(scope, receive, answer)
        else:
            await self._app(scope, _limited(receive), answer)

    def _refusal(self, headers: Headers, path: str) -> PlainTextResponse | None:
        if path != _FREE_PATH and headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("This host is not served here; see console.url", 421)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_MOST:
            return PlainTextResponse(f"More than {BODY_MOST} octets", 413)
        return None


def _limited(receive: Receive) -> Receive:
    """A body in chunks says nothing of its length; what is too long ends as if the client had gone."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > BODY_MOST else message

    return limited
