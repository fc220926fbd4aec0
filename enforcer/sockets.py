"""Sockets to listen on."""

import socket

from enforcer.config.values import Endpoint
from enforcer.errors import Unavailable

_TRANSPORTS = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}


def bound(endpoint: Endpoint, kind: socket.SocketKind, *, shared: bool = False, key: str = "") -> socket.socket:
    """A non-blocking socket, bound to an address; one for IPv6 leaves IPv4 to another.

    shared: whether workers of one kind bind the same address, and the kernel deals connections and datagrams out.
    key: of the configuration, for the text of the error. Raises Unavailable when the address cannot be had.
    """
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        sock.close()
        where = f"{key}: {endpoint}" if key else str(endpoint)
        raise Unavailable(f"{where}: cannot listen on {_TRANSPORTS[kind]} ({error.strerror})") from error
    return sock
