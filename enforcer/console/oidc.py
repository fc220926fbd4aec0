"""Signing in at an OpenID Connect provider: authorization code with PKCE, state and nonce (authlib does the protocol).

What has to be kept between going there and coming back is in a cookie that only we can have signed.
"""

import logging
import secrets
import ssl

from authlib.integrations.starlette_client import OAuth
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from enforcer.config.pages import Console, Oidc
from enforcer.console.access import Visitor, is_printable
from enforcer.console.desk import Visit
from enforcer.console.roles import Person, Via, roles_of
from enforcer.console.routes import answered, local_path, message
from enforcer.console.signin import let_in, told
from enforcer.console.site import Site
from enforcer.errors import Unavailable

COOKIE = "__Host-enforcer-oidc"
_AWAY_S = 600
_NEXT = "next"

_log = logging.getLogger(__name__)


class Provider:
    """The provider that the configuration names; discovery happens when somebody signs in."""

    def __init__(self, settings: Console) -> None:
        """Raises Unavailable when the client secret cannot be read."""
        if settings.oidc is None or settings.url is None:
            raise Unavailable("console.oidc: missing")
        self.settings: Oidc = settings.oidc
        self._back = f"{settings.url}/sign-in/back"
        try:
            secret = self.settings.client_secret_file.read_text(encoding="utf-8").strip()
            verify = True if self.settings.ca is None else ssl.create_default_context(cafile=str(self.settings.ca))
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"console.oidc: {error}") from error
        self._client = OAuth().register(
            "provider",
            client_id=self.settings.client_id,
            client_secret=secret,
            server_metadata_url=f"{self.settings.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": self.settings.scopes,
                "code_challenge_method": "S256",
                "verify": verify,
                "timeout": 10,
            },
        )

    def mount(self) -> Mount:
        """The two addresses, with the cookie that only they have."""
        cookie = Middleware(
            SessionMiddleware,
            secret_key=secrets.token_hex(32),
            session_cookie=COOKIE,
            max_age=_AWAY_S,
            same_site="lax",
            https_only=True,
        )
        return Mount(
            "/sign-in",
            routes=[
                Route("/provider", answered(self._go), methods=["GET"]),
                Route("/back", answered(self._back_again), methods=["GET"]),
            ],
            middleware=[cookie],
        )

    async def _go(self, request: Request, site: Site, visitor: Visitor) -> Response:
        request.session.clear()
        request.session[_NEXT] = local_path(request.query_params.get("next"))
        try:
            response: Response = await self._client.authorize_redirect(request, self._back)
        except Exception as error:  # noqa: BLE001 (discovery: the network, TLS, JSON, authlib)
            return self._failed(site, visitor, error)
        return response

    async def _back_again(self, request: Request, site: Site, visitor: Visitor) -> Response:
        after = request.session.get(_NEXT)
        try:
            token = await self._client.authorize_access_token(request)
        except Exception as error:  # noqa: BLE001 (the network, TLS, JSON, authlib, joserfc)
            return self._failed(site, visitor, error)
        finally:
            request.session.clear()
        claims = token.get("userinfo") or {}
        name = claims.get(self.settings.name_claim)
        roles = roles_of(claims.get(self.settings.roles_claim), self.settings.roles)
        if not isinstance(name, str) or not is_printable(name) or not roles:
            who = name if isinstance(name, str) and is_printable(name) else "?"
            refused = Visit("sign_in_refused", who, Via.OIDC, visitor.address)
            return await told(site, visitor, refused) or message(site, visitor, "trouble.roles", 403)
        response = await let_in(site, visitor, Person(name, roles, Via.OIDC), after)
        if isinstance(response, RedirectResponse):
            response.headers["referrer-policy"] = "no-referrer"  # the address has the code in it
        return response

    @staticmethod
    def _failed(site: Site, visitor: Visitor, error: Exception) -> Response:
        _log.warning("sign_in event=provider_failed error=%s", type(error).__name__)
        return message(site, visitor, "trouble.provider", 502)
