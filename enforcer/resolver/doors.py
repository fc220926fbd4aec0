"""Taking connections that are not DNS from their first octet on: a front end's PROXY header, then TLS.

Sockets are accepted here rather than by an asyncio server, because the header has to be read before the handshake.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from enforcer.devices.device import Address, Network
from enforcer.errors import Malformed
from enforcer.resolver.listeners import Origin, StreamPath, plain_address
from enforcer.wire import proxyprotocol

WELCOME_S = 10.0  # for the PROXY header and the handshake
GOODBYE_S = 2.0  # for the other side's close_notify
PAUSE_S = 0.1  # when there is no descriptor left


class Door:
    """One listening socket of one worker."""

    def __init__(
        self,
        sock: socket.socket,
        path: StreamPath,
        *,
        context: Callable[[], ssl.SSLContext] | None,
        front_ends: tuple[Network, ...] = (),
    ) -> None:
        """context: what the next connection is made with; None: clear text. front_ends: must send a PROXY header."""
        self.sock = sock
        self.path = path
        self._context = context
        self._front_ends = front_ends
        self._welcomes: set[asyncio.Task[None]] = set()
        self._of_client: Counter[Address] = Counter()  # who is being welcomed

    @property
    def is_plain(self) -> bool:
        """Whether DNS begins with the first octet, so that an asyncio server can take the connections."""
        return self._context is None and not self._front_ends

    async def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(self.sock)
            except OSError:
                await asyncio.sleep(PAUSE_S)
                continue
            origin = plain_address(peer[0]), int(peer[1])
            if not self._has_room(origin[0]):
                sock.close()
                continue
            welcome = tasks.create_task(self._welcome(loop, sock, origin))
            self._welcomes.add(welcome)
            welcome.add_done_callback(self._welcomes.discard)

    def close(self) -> None:
        """Take no more connections, and give up those that are not made yet."""
        for welcome in self._welcomes:
            welcome.cancel()
        self.sock.close()

    def _has_room(self, address: Address) -> bool:
        limits = self.path.limits
        if len(self._welcomes) >= limits.clients:
            return False
        return self._is_front_end(address) or self._of_client[address] < limits.per_client

    def _is_front_end(self, address: Address) -> bool:
        return any(address in network for network in self._front_ends)

    async def _welcome(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin) -> None:
        peer = origin[0]
        self._of_client[peer] += 1
        try:
            async with asyncio.timeout(WELCOME_S):
                if self._is_front_end(peer):
                    origin = await _announced(loop, sock) or origin
                context = None if self._context is None else self._context()
                await loop.connect_accepted_socket(
                    lambda: self.path.connection(origin),
                    sock,
                    ssl=context,
                    ssl_shutdown_timeout=None if context is None else GOODBYE_S,
                )
        except (OSError, Malformed):  # the client's fault, or the network's; no name or address is logged
            sock.close()
        except asyncio.CancelledError:
            sock.close()
            raise
        finally:
            self._of_client[peer] -= 1
            if not self._of_client[peer]:
                del self._of_client[peer]


async def _announced(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> Origin | None:
    """The client that a front end speaks for; None: itself. Not one octet behind the header is read."""
    head = await _exactly(loop, sock, proxyprotocol.HEAD)
    rest = await _exactly(loop, sock, proxyprotocol.rest_of(head))
    found = proxyprotocol.source(head, rest)
    return None if found is None else (plain_address(str(found[0])), found[1])


async def _exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(sock, size - len(data))
        if not piece:
            raise Malformed(f"PROXY header: it ends after {len(data)} octets")
        data += piece
    return data
