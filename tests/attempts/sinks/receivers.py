"""Receivers on loopback that take what a sink sends: TCP or TLS, UDP, HTTP."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from enforcer.attempts.attempt import Entry
from enforcer.attempts.formats.record import read_record
from enforcer.attempts.formats.render import Format, render
from enforcer.attempts.sinks import Outgoing
from tests.attempts.formats.samples import SAMPLES, line_of


def outgoing(entry: Entry = SAMPLES["dns"], form: Format = Format.JSON) -> Outgoing:
    line = line_of(entry)
    record = read_record(line)
    return Outgoing(record, render(record, line, form))


class Listener:
    """Accepts one connection after the other, and keeps every octet."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._context = context
        self.data = bytearray()
        self.connections = 0
        self.peer: socket.socket | None = None
        self.arrived = threading.Condition()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
                if self._context is not None:
                    sock = self._context.wrap_socket(sock, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections += 1
            self.peer = sock
            try:
                while data := sock.recv(65_536):
                    with self.arrived:
                        self.data += data
                        self.arrived.notify_all()
            except OSError:
                pass
            sock.close()

    def wait(self, octets: int) -> bytes:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.data) >= octets, 10)
        return bytes(self.data)

    def hang_up(self) -> None:
        """Close the connection, not the port."""
        if self.peer is not None:
            self.peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        if self.peer is not None:
            self.peer.close()
        self._thread.join(5)


type Answer = Callable[[str, dict[str, str], bytes], tuple[int, object]]


@contextmanager
def http_receiver(answer: Answer, port: int = 0) -> Iterator[str]:
    """An HTTP server that answers each POST with what `answer` says of its path, headers and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, value = answer(self.path, dict(self.headers), body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def get_request(self) -> tuple[socket.socket, object]:
            sock, address = super().get_request()
            connections.append(sock)
            return sock, address

    connections: list[socket.socket] = []
    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        for sock in connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join(5)
