"""Forms that only our own pages can send: each carries a token that belongs to a cookie of the same browser."""

import hmac
import secrets
from hashlib import sha256
from urllib.parse import urlsplit

FIELD = "token"


class FormKey:
    """The key of this process: after a restart, forms that are open must be loaded again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def token(self, cookie: str) -> str:
        """What a form carries. cookie: the value of the form cookie."""
        return hmac.new(self._key, cookie.encode(), sha256).hexdigest()

    def fits(self, cookie: str | None, token: object) -> bool:
        """Whether a form was made for the browser that sends it."""
        return bool(cookie) and isinstance(token, str) and hmac.compare_digest(self.token(str(cookie)), token)


def new_cookie() -> str:
    """A value for the form cookie."""
    return secrets.token_urlsafe(24)


def is_foreign(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a browser says that another site sends this: by Sec-Fetch-Site, else by Origin (RFC 6454 §7)."""
    if fetch_site is not None:
        return fetch_site not in {"same-origin", "none"}
    return origin is not None and urlsplit(origin).netloc != host
