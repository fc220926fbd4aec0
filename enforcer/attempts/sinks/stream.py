"""A connection that carries messages one way: TCP or TLS, whose receivers never answer, and UDP.

TCP says when the receiver's kernel has an octet, never when the receiver has read it. So a batch counts as handed over
when the kernel there has all of it, and what was sent in the last seconds before a connection broke is sent again
(`Sink.settle_s`).
"""

import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enforcer.errors import Unavailable

TIMEOUT_S = 10.0
SETTLE_S = 5.0

_DRAIN_STEP_S = 0.005


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust over TLS, and what to show. ca: None for the system's; certificate, key: None for no own one."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, the peer's certificate and name checked (RFC 9662). Raises Unavailable."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path is not None)
            raise Unavailable(f"{files}: cannot be used for TLS ({error.strerror or error})") from error
        return context


@dataclass(frozen=True, slots=True)
class Remote:
    """Whom to send to. trust: None for no TLS."""

    host: str
    port: int
    trust: Trust | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Stream:
    """TCP or TLS, connected when something is sent. sleep: waits for so many seconds."""

    settle_s = SETTLE_S

    def __init__(self, remote: Remote, sleep: Callable[[float], None]) -> None:
        self._remote, self._sleep = remote, sleep
        self._sock: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Hand over all of it, until the receiver's kernel has it. Raises Unavailable."""
        try:
            sock = self._sock or self._connect()
            sock.sendall(data)
            self._drain(sock)
        except OSError as error:
            raise self._lost(error) from error

    def check(self) -> None:
        """Raises Unavailable when the receiver has closed the connection."""
        sock = self._sock
        if sock is None:
            return
        try:
            sock.setblocking(False)
            said = sock.recv(4096)
            if not said:
                raise ConnectionResetError(0, "closed by the receiver")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise self._lost(error) from error
        sock.settimeout(TIMEOUT_S)

    def close(self) -> None:
        """Say good-bye (close_notify over TLS) and let go."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(1.0)
                sock = sock.unwrap()
        except OSError:
            pass
        finally:
            sock.close()

    def _connect(self) -> socket.socket:
        remote = self._remote
        context = None if remote.trust is None else remote.trust.context()
        sock = socket.create_connection((remote.host, remote.port), TIMEOUT_S)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=remote.host)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        return sock

    def _drain(self, sock: socket.socket) -> None:
        """Wait until the receiver's kernel has acknowledged every octet (SIOCOUTQ of tcp(7))."""
        for _ in range(round(TIMEOUT_S / _DRAIN_STEP_S)):
            (waiting,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
            if not waiting:
                return
            self._sleep(_DRAIN_STEP_S)
        raise TimeoutError(0, f"the receiver took nothing for {TIMEOUT_S:.0f} s")

    def _lost(self, error: OSError) -> Unavailable:
        self.close()
        return Unavailable(f"{self._remote}: {error.strerror or error}")


class Datagrams:
    """UDP: a message a datagram. Nobody knows whether it arrives."""

    settle_s = 0.0

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._sock: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send one message. Raises Unavailable when it cannot even be sent."""
        try:
            if self._sock is None:
                family, kind, _, _, address = socket.getaddrinfo(
                    self._remote.host, self._remote.port, type=socket.SOCK_DGRAM
                )[0]
                self._sock = socket.socket(family, kind)
                self._sock.settimeout(TIMEOUT_S)
                self._sock.connect(address)
            self._sock.send(data)
        except OSError as error:
            self.close()
            raise Unavailable(f"{self._remote}: {error.strerror or error}") from error

    def check(self) -> None:
        """There is no connection that could be lost."""

    def close(self) -> None:
        """Let go."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
