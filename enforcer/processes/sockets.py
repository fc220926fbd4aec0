"""Sockets that several workers of one kind share."""

import resource
import socket
from contextlib import suppress

from enforcer.config.values import Endpoint
from enforcer.errors import Unavailable

RECEIVE_BUFFER = 4 << 20


def tcp_socket(endpoint: Endpoint) -> socket.socket:
    """A TCP socket, bound. Raises Unavailable when it cannot be."""
    return _bound(endpoint, socket.SOCK_STREAM, "TCP")


def udp_socket(endpoint: Endpoint) -> socket.socket:
    """A UDP socket, bound. Raises Unavailable when it cannot be."""
    sock = _bound(endpoint, socket.SOCK_DGRAM, "UDP")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    return sock


def more_files() -> None:
    """Each connection takes one: have as many as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bound(endpoint: Endpoint, kind: socket.SocketKind, transport: str) -> socket.socket:
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        sock.close()
        raise Unavailable(f"{endpoint}: cannot listen on {transport} ({error.strerror})") from error
    return sock
