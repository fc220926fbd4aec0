"""Sockets that several workers of one kind share."""

import resource
import socket
from contextlib import suppress

from enforcer.config.values import Endpoint
from enforcer.sockets import bound

RECEIVE_BUFFER = 4 << 20


def tcp_socket(endpoint: Endpoint) -> socket.socket:
    """A TCP socket, bound. Raises Unavailable when it cannot be."""
    return bound(endpoint, socket.SOCK_STREAM, shared=True)


def udp_socket(endpoint: Endpoint) -> socket.socket:
    """A UDP socket, bound. Raises Unavailable when it cannot be."""
    sock = bound(endpoint, socket.SOCK_DGRAM, shared=True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    return sock


def more_files() -> None:
    """Each connection takes one: have as many as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
