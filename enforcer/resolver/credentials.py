"""The TLS side of a listener: certificate, key, client certificates and token hashes, followed when files change."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from enforcer.counters import Transport
from enforcer.devices.tokens import read_token_hashes
from enforcer.errors import Mistakes, Unavailable
from enforcer.resolver.admission import Admission

_ALPN = {Transport.DOT: ["dot"], Transport.DOH: ["h2", "http/1.1"]}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a listener. client_ca: who signs client certificates; None: none are asked for.

    client_required: a handshake without a client certificate fails. tokens: the file of their hashes, or None.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_required: bool = True
    tokens: Path | None = None


class _Followed:
    """Files that are taken in together, again whenever one of them has changed."""

    def __init__(self, paths: tuple[Path, ...], take: Callable[[], None]) -> None:
        self._paths = paths
        self._take = take
        self._seen: object = None

    def changed(self) -> bool:
        """Take the files in if they changed; True when they did. Raises Mistakes, OSError and ValueError."""
        now = [_stamp(path) for path in self._paths]
        if now == self._seen:
            return False
        self._seen = now
        self._take()
        return True


class Credentials:
    """What one listener shows, and demands. New connections get what the files say; those that are open keep theirs."""

    def __init__(self, listener: str, files: TlsFiles, admission: Admission) -> None:
        """Read everything. Raises Unavailable when it cannot be used."""
        self.admission = admission
        self._listener = listener
        self._files = files
        self._contexts: dict[Transport, ssl.SSLContext] = {}
        self._names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()
        certificates = (files.certificate, files.key, *(() if files.client_ca is None else (files.client_ca,)))
        self._followed = {"certificate": _Followed(certificates, self._take_certificate)}
        if files.tokens is not None:
            self._followed["tokens"] = _Followed((files.tokens,), self._take_tokens)
        for what, followed in self._followed.items():
            try:
                followed.changed()
            except (Mistakes, OSError, ValueError) as error:
                raise Unavailable(f"listener {listener}: its {what} cannot be used ({_said(error)})") from error

    def follow(self) -> None:
        """Take in files that have changed; what cannot be used is logged, and what was in force stays."""
        for what, followed in self._followed.items():
            try:
                changed = followed.changed()
            except (Mistakes, OSError, ValueError) as error:
                _log.error("%s event=unusable listener=%s kept=old error=%s", what, self._listener, _said(error))
            else:
                if changed:
                    _log.info("%s event=reloaded listener=%s", what, self._listener)

    def context(self, transport: Transport) -> ssl.SSLContext:
        """What the next connection is made with."""
        return self._contexts[transport]

    def server_name(self, connection: ssl.SSLObject) -> str | None:
        """The server name that a client asked for; None without one."""
        return self._names.get(connection)

    def _take_certificate(self) -> None:
        self._contexts = {transport: self._context(alpn) for transport, alpn in _ALPN.items()}

    def _take_tokens(self) -> None:
        path = self._files.tokens
        if path is not None:
            self.admission.hashes = read_token_hashes(path.read_text(encoding="utf-8"), str(path))

    def _context(self, alpn: list[str]) -> ssl.SSLContext:
        """TLS 1.2 and later, with resumption by tickets; OpenSSL takes no early data unless it is told to."""
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")  # else OpenSSL asks the terminal
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if files.client_required else ssl.CERT_OPTIONAL
        context.set_alpn_protocols(alpn)
        context.sni_callback = self._named
        return context

    def _named(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None and isinstance(connection, ssl.SSLObject):
            self._names[connection] = name


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None while it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _said(error: Exception) -> str:
    """What is wrong, on one line."""
    return " ".join(str(error).split())
