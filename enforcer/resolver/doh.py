"""DNS over HTTPS (RFC 8484), on HTTP/2 and HTTP/1.1: a message in a request, its reply in the response.

The HTTP is `h2`'s and `h11`'s; connections, limits and answers are those of every stream. What a client sends and
does not read is bounded: streams of a connection, octets of a body and of headers, octets that wait to be taken.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11

from enforcer.counters import Transport
from enforcer.resolver import listeners
from enforcer.resolver.admission import Standing
from enforcer.resolver.listeners import Origin, Stream, StreamPath
from enforcer.wire import doh

STREAMS_MAX = 100  # of a connection at a time
HEADERS_MAX = 24_576  # octets: the longest query in a path, and what browsers add

type Headers = list[tuple[str, str]]


class DohPath(StreamPath):
    """DNS over HTTPS."""

    transport = Transport.DOH

    def connection(self, origin: Origin | None = None) -> Stream:
        """The protocol of a new connection."""
        return _Connection(self, origin)


class _Engine(ABC):
    """One version of HTTP on one connection."""

    def __init__(self, line: "_Connection") -> None:
        self._line = line

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take octets of the client."""

    @abstractmethod
    def go_on(self) -> None:
        """An answer was given or the client reads again: take what had to wait."""

    @abstractmethod
    def forget(self) -> None:
        """The connection is gone: let go of what refers to itself, which would wait for the garbage collector."""

    @property
    @abstractmethod
    def is_free(self) -> bool:
        """Whether another request can be taken."""


class _Connection(Stream):
    """One client's connection, in the version of HTTP that the handshake chose."""

    def __init__(self, path: StreamPath, origin: Origin | None) -> None:
        super().__init__(path, origin)
        self._engine: _Engine | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, and find out which HTTP it speaks."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        is_h2 = secured is not None and secured.selected_alpn_protocol() == "h2"
        self._engine = _Http2(self) if is_h2 else _Http1(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and the engine that refers to it."""
        super().connection_lost(exc)
        if self._engine is not None:
            self._engine.forget()
            self._engine = None

    def data_received(self, data: bytes) -> None:
        """Take requests."""
        if self._engine is not None and not self.is_closing:
            self._engine.receive(data)
            self._flow()

    def read_on(self) -> None:
        """Take what had to wait; then let the transport read, or not."""
        if self._engine is not None and not self.is_closing:
            self._engine.go_on()
            self._flow()

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._transport is None or self._transport.is_closing()

    def serve(self, request: "_Request", reply: "_Reply") -> None:
        """Answer a whole request, now or later."""
        asked = doh.asked(request.method, request.target, request.content_type, bytes(request.body))
        if isinstance(asked, int):
            reply.error(asked)
            return
        standing, token = self.standing, self.token
        if asked.token is not None:
            credentials = self._path.credentials
            standing, token = Standing.REFUSED, asked.token
            if credentials is not None:
                standing = credentials.admission.standing(token, certified=self.certificate is not None)
        if standing is Standing.REFUSED:
            reply.error(404)
        elif not self.ask(asked.wire, standing, token, reply.message):
            reply.error(503)

    def _may_ask(self) -> bool:
        return super()._may_ask() and (self._engine is None or self._engine.is_free)


@dataclass(slots=True)
class _Request:
    """A request as far as it has come."""

    method: str
    target: str
    content_type: str | None
    body: bytearray = field(default_factory=bytearray)


class _Reply(ABC):
    """The way back of one request."""

    @abstractmethod
    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response."""

    def message(self, wire: bytes) -> None:
        """Send a DNS message: 200, whatever its rcode (RFC 8484 §4.2.1), and not to be shared between devices."""
        age = f"private, max-age={doh.max_age(wire)}"
        self.send(200, [("content-type", doh.MEDIA_TYPE), ("cache-control", age)], wire)

    def error(self, status: int) -> None:
        """Send an error."""
        allowed = [("allow", "GET, POST")] if status == 405 else []
        self.send(status, [("cache-control", "no-store"), *allowed], b"")


class _Http2(_Engine):
    """HTTP/2 (RFC 9113)."""

    def __init__(self, line: _Connection) -> None:
        super().__init__(line)
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,  # ours are right; looking at them again costs
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_MAX,
            },
        )
        self._h2.decoder.max_header_list_size = HEADERS_MAX
        self._h2.initiate_connection()
        self._requests: dict[int, _Request] = {}
        self._unsent: dict[int, bytes] = {}
        self._unacknowledged: dict[int, int] = {}
        self._receiving = False
        self.flush()

    @property
    def is_free(self) -> bool:
        """Streams are refused one by one, so the connection is always read."""
        return True

    def receive(self, data: bytes) -> None:
        """Take frames; what can be answered at once leaves in one write."""
        self._receiving = True
        failed = False
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError:
            failed = True
        finally:
            self._receiving = False
        self.flush()  # after an error, the GOAWAY that says why
        if failed:
            self._line.end()

    def go_on(self) -> None:
        """Nothing waits here but what the client's window holds back."""

    def forget(self) -> None:
        """`h2` keeps methods of the connection in the connection."""
        vars(self._h2).clear()

    def flush(self) -> None:
        """Write what the protocol has to say."""
        data = b"" if self._receiving else self._h2.data_to_send()
        if data:
            self._line.write(data)

    def send(self, stream: int, status: int, headers: Headers, body: bytes) -> None:
        """Send a response, as far as the client's windows have room for it."""
        self._requests.pop(stream, None)
        if self._line.is_closing:
            return
        fields = [(":status", str(status)), ("content-length", str(len(body))), *headers]
        with suppress(h2.exceptions.ProtocolError):  # the stream is gone: the client has given up
            self._h2.send_headers(stream, fields, end_stream=not body)
            if body:
                self._unsent[stream] = body
                self._push(stream)
        if sum(map(len, self._unsent.values())) > listeners.UNSENT_MAX:
            self._line.end()
            self._line.end()
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=list(headers)):
                self._begin(stream, dict(headers))
            case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                self._unacknowledged[stream] = self._unacknowledged.get(stream, 0) + (event.flow_controlled_length or 0)
                self._add(stream, data)
            case h2.events.StreamEnded(stream_id=int(stream)):
                self._acknowledge(stream)
                request = self._requests.get(stream)
                if request is not None:
                    self._line.serve(request, _Http2Reply(self, stream))
            case h2.events.StreamReset(stream_id=int(stream)):
                self._acknowledge(stream)
                self._requests.pop(stream, None)
                self._unsent.pop(stream, None)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in list(self._unsent):
                    self._push(stream)
            case h2.events.ConnectionTerminated():
                self._line.eof_received()
                if not self._line.waiting:
                    self._line.end()

    def _begin(self, stream: int, headers: dict[bytes, bytes]) -> None:
        if self._line.waiting >= listeners.WAITING_A_CONNECTION:
            with suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        content_type = headers.get(b"content-type")
        self._requests[stream] = _Request(
            headers.get(b":method", b"").decode("latin-1"),
            headers.get(b":path", b"").decode("latin-1"),
            None if content_type is None else content_type.decode("latin-1"),
        )

    def _add(self, stream: int, data: bytes) -> None:
        request = self._requests.get(stream)
        if request is None:
            self._acknowledge(stream)
            return
        request.body += data
        if len(request.body) > doh.QUERY_MAX:
            self._acknowledge(stream)
            self.send(stream, 413, [("cache-control", "no-store")], b"")
            with suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)

    def _acknowledge(self, stream: int) -> None:
        """Open the windows again, only once a body is done with: so all bodies together fit into one window."""
        size = self._unacknowledged.pop(stream, 0)
        if size:
            with suppress(h2.exceptions.ProtocolError):
                self._h2.acknowledge_received_data(size, stream)

    def _push(self, stream: int) -> None:
        data = self._unsent.pop(stream)
        with suppress(h2.exceptions.ProtocolError):
            while data:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(data))
                if room <= 0:
                    self._unsent[stream] = data
                    return
                self._h2.send_data(stream, data[:room], end_stream=room == len(data))
                data = data[room:]


class _Http2Reply(_Reply):
    def __init__(self, engine: _Http2, stream: int) -> None:
        self._engine = engine
        self._stream = stream

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._engine.send(self._stream, status, headers, body)


class _Http1(_Engine):
    """HTTP/1.1 (RFC 9112): one request at a time."""

    def __init__(self, line: _Connection) -> None:
        super().__init__(line)
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADERS_MAX)
        self._request: _Request | None = None
        self._busy = False
        self._going = False

    @property
    def is_free(self) -> bool:
        """Whether the request before was answered."""
        return not self._busy

    def receive(self, data: bytes) -> None:
        """Take octets."""
        with suppress(h11.RemoteProtocolError):  # octets after an error
            self._h11.receive_data(data)
        self.go_on()

    def go_on(self) -> None:
        """Take requests, until one has to wait for its answer."""
        if self._going:
            return
        self._going = True
        try:
            while not self._busy and not self._line.is_closing and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._respond(error.error_status_hint, [("cache-control", "no-store"), ("connection", "close")], b"")
            self._line.end()
        finally:
            self._going = False

    def forget(self) -> None:
        """Nothing here refers to itself."""

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response; then the next request may come, unless this one was not taken whole."""
        self._respond(status, headers, body)
        self._busy = False
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        else:
            self._line.end()

    def _step(self) -> bool:
        """Take one event; False when there is none."""
        event = self._h11.next_event()
        match event:
            case h11.Request():
                self._request = _Request(
                    event.method.decode("latin-1"),
                    event.target.decode("latin-1"),
                    next((value.decode("latin-1") for name, value in event.headers if name == b"content-type"), None),
                )
            case h11.Data() if self._request is not None:
                self._request.body += event.data
                if len(self._request.body) > doh.QUERY_MAX:
                    _Http1Reply(self).error(413)
            case h11.EndOfMessage() if self._request is not None:
                request, self._request = self._request, None
                self._busy = True
                self._line.serve(request, _Http1Reply(self))
            case h11.ConnectionClosed():
                self._line.end()
                return False
            case h11.NEED_DATA | h11.PAUSED:
                if self._h11.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                return False
        return True

    def _respond(self, status: int, headers: Headers, body: bytes) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        fields = [("content-length", str(len(body))), *headers]
        self._write(h11.Response(status_code=status, headers=fields), h11.Data(data=body), h11.EndOfMessage())

    def _write(self, *events: h11.Event) -> None:
        self._line.write(b"".join(self._h11.send(event) or b"" for event in events))


class _Http1Reply(_Reply):
    def __init__(self, engine: _Http1) -> None:
        self._engine = engine

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._engine.send(status, headers, body)
