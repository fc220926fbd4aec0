"""One connection to an upstream: opened when there is something to ask, kept, with many questions on it at a time.

DNS over TCP and over TLS (RFC 7766 §6.2, RFC 7858) and over HTTPS (RFC 8484, HTTP/2). With TLS the upstream's chain
and name are verified, always (RFC 8310, strict profile): without them nothing is asked, and never in clear text.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from enforcer.config.values import Transport, Upstream
from enforcer.errors import Malformed

IN_FLIGHT = 2_000  # questions on one connection, those that nobody waits for any more included
CONNECT_S = 3.0
RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0  # until a connection that failed is tried again
_MESSAGE_MAX = 0xFFFF
_MEDIA_TYPE = "application/dns-message"


def trusting(transport: Transport, ca: Path | None) -> ssl.SSLContext | None:
    """How an upstream is verified; None for a transport without TLS. ca: the authorities in PEM; None: the system's."""
    if transport not in (Transport.TLS, Transport.HTTPS):
        return None
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["dot"] if transport is Transport.TLS else ["h2"])
    return context


class _Framing(Protocol):
    """How messages stand on a connection. Octets in, messages out."""

    def ask(self, number: int, message: bytes) -> bool:
        """Put a question on the connection; False if it has no room. Raises Malformed when it takes none any more."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The answers, each with its question's number; empty for a refusal. Raises Malformed for what is none."""

    def to_send(self) -> bytes:
        """The octets that are to be sent now."""


class _Lengths:
    """Each message behind its length; its ID is its number (RFC 1035 §4.2.2)."""

    def __init__(self) -> None:
        self._in = bytearray()
        self._out = b""

    def ask(self, number: int, message: bytes) -> bool:
        if number != int.from_bytes(message[:2]):
            raise ValueError(f"the message's ID is not {number}")
        self._out += len(message).to_bytes(2) + message
        return True

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._in += data
        found = []
        while len(self._in) >= 2 and len(self._in) >= (end := 2 + int.from_bytes(self._in[:2])):
            message = bytes(self._in[2:end])
            del self._in[:end]
            found.append((int.from_bytes(message[:2]), message))
        return found

    def to_send(self) -> bytes:
        out, self._out = self._out, b""
        return out


class _Http2:
    """Each message the body of a POST, a stream a question; its ID is 0, so that caches can help (RFC 8484 §4.1)."""

    def __init__(self, authority: str, path: str) -> None:
        self._head = [(":method", "POST"), (":scheme", "https"), (":authority", authority), (":path", path)]
        self._head += [("content-type", _MEDIA_TYPE), ("accept", _MEDIA_TYPE)]
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._numbers: dict[int, int] = {}
        self._bodies: dict[int, bytearray] = {}  # of the streams whose answer is one

    def ask(self, number: int, message: bytes) -> bool:
        try:
            stream = self._http.get_next_available_stream_id()
        except h2.exceptions.ProtocolError as error:
            raise Malformed(f"HTTP/2: {type(error).__name__}") from None
        try:
            self._http.send_headers(stream, [*self._head, ("content-length", str(len(message)))])
            self._http.send_data(stream, b"\0\0" + message[2:], end_stream=True)
        except h2.exceptions.TooManyStreamsError:
            return False
        except h2.exceptions.ProtocolError as error:
            raise Malformed(f"HTTP/2: {type(error).__name__}") from None
        self._numbers[stream] = number
        return True

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        found = []
        try:
            for event in self._http.receive_data(data):
                found += self._heard(event)
        except h2.exceptions.ProtocolError as error:
            raise Malformed(f"HTTP/2: {type(error).__name__}") from None
        return found

    def to_send(self) -> bytes:
        return self._http.data_to_send()

    def _heard(self, event: h2.events.Event) -> list[tuple[int, bytes]]:
        match event:
            case h2.events.ResponseReceived(stream_id=int(stream), headers=headers):
                said = {str(name): str(value) for name, value in headers or ()}
                if said.get(":status") == "200" and said.get("content-type") == _MEDIA_TYPE:
                    self._bodies[stream] = bytearray()
            case h2.events.DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(length)):
                self._http.acknowledge_received_data(length, stream)
                body = self._bodies.get(stream)
                if body is not None:
                    body += data or b""
                    if len(body) > _MESSAGE_MAX:
                        raise Malformed(f"HTTP/2: a body of more than {_MESSAGE_MAX} octets")
            case h2.events.StreamEnded(stream_id=int(stream)):
                number, body = self._numbers.pop(stream, None), self._bodies.pop(stream, bytearray())
                return [] if number is None else [(number, number.to_bytes(2) + body[2:] if body else b"")]
            case h2.events.StreamReset(stream_id=int(stream)):
                self._bodies.pop(stream, None)
                number = self._numbers.pop(stream, None)
                return [] if number is None else [(number, b"")]
            case h2.events.ConnectionTerminated():
                raise Malformed("HTTP/2: the upstream ends the connection")
        return []


class Link[Waiting]:
    """The connection to one upstream, and who waits on it, by the ID of the question.

    waiting: None for those that nobody waits for any more; their ID is not used again while an answer may come
    (RFC 7766 §7). heard: told of an answer, empty for a refusal. lost: told of all who wait when a connection ends.
    """

    def __init__(
        self,
        target: Upstream,
        tls: ssl.SSLContext | None,
        *,
        heard: Callable[[Waiting | None, bytes], None],
        lost: Callable[[list[Waiting]], None],
        loop: asyncio.AbstractEventLoop,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.waiting: dict[int, Waiting | None] = {}
        self._target = target
        self._tls = tls
        self._heard = heard
        self._lost = lost
        self._loop = loop
        self._tasks = tasks
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._unsent: list[tuple[int, bytes]] = []
        self._not_before = 0.0
        self._retry_s = RETRY_MIN_S

    def ask(self, number: int, message: bytes, waiting: Waiting) -> bool:
        """Ask, or as soon as there is a connection; False when there is none to be had now, or no room on it."""
        connection = self._connection
        if len(self.waiting) >= IN_FLIGHT:
            if not any(self.waiting.values()):
                self.drop()
            return False
        if connection is not None:
            if not connection.ask(number, message):
                return False
        elif self._loop.time() < self._not_before:
            return False
        else:
            self._unsent.append((number, message))
            if self._connecting is None:
                self._connecting = self._tasks.create_task(self._connect())
        self.waiting[number] = waiting
        return True

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        if number in self.waiting:
            self.waiting[number] = None

    def drop(self) -> None:
        """Give the connection up; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            self._ended()

    def close(self) -> None:
        """End all of it; who waits is not told."""
        self.waiting.clear()
        self._unsent.clear()
        if self._connecting is not None:
            self._connecting.cancel()
        self.drop()

    def arrived(self, number: int, message: bytes) -> None:
        """An answer came on the connection."""
        self._retry_s = RETRY_MIN_S
        self._heard(self.waiting.pop(number, None), message)

    def over(self, connection: "_Connection") -> None:
        """A connection ended by itself."""
        if connection is self._connection:
            self._connection = None
            if not connection.useful:
                self._back_off()
            self._ended()

    async def _connect(self) -> None:
        target = self._target
        authority = target.name or str(target.address)
        connection = _Connection(self, _Http2(authority, target.path) if target.path else _Lengths())
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._loop.create_connection(
                    lambda: connection,
                    str(target.address),
                    target.port,
                    ssl=self._tls,
                    server_hostname=authority if self._tls is not None else None,
                )
        except (OSError, TimeoutError):
            self._connecting = None
            self._back_off()
            self._ended()
            return
        self._connecting = None
        unsent, self._unsent = self._unsent, []
        self._connection = connection
        if connection.over or (target.path and not connection.speaks("h2")):
            connection.useful = False
            connection.abort()
            self.over(connection)
            return
        for number, message in unsent:
            if self._connection is connection and not connection.ask(number, message):
                waiting = self.waiting.pop(number, None)
                if waiting is not None:
                    self._lost([waiting])

    def _back_off(self) -> None:
        self._not_before = self._loop.time() + self._retry_s
        self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)

    def _ended(self) -> None:
        waiting = [each for each in self.waiting.values() if each is not None]
        self.waiting.clear()
        self._unsent.clear()
        if waiting:
            self._lost(waiting)


class _Connection(asyncio.Protocol):
    """One connection of a link. useful: an answer came on it. over: it has ended."""

    def __init__[Waiting](self, link: Link[Waiting], framing: _Framing) -> None:
        self._arrived = link.arrived
        self._over = link.over
        self._framing = framing
        self._transport: asyncio.Transport | None = None
        self.useful = False
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            answers = self._framing.feed(data)
        except Malformed:
            self.abort()
            self.connection_lost(None)
            return
        self._flush()
        for number, message in answers:
            self.useful = True
            self._arrived(number, message)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.over:
            self.over = True
            self._over(self)

    def ask(self, number: int, message: bytes) -> bool:
        """Send a question; False when the connection takes it not, or has ended by it."""
        try:
            taken = self._framing.ask(number, message)
        except Malformed:
            self.abort()
            self.connection_lost(None)
            return False
        self._flush()
        return taken

    def speaks(self, protocol: str) -> bool:
        """Whether this was agreed on in the TLS handshake."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return tls is not None and tls.selected_alpn_protocol() == protocol

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        data = self._framing.to_send()
        if data and self._transport is not None:
            self._transport.write(data)
