"""What phones want to reach: a server of HTTP, HTTPS, HTTP/3, of a greeting and an echo. Run as a program of its own.

usage: origin.py CERTIFICATE KEY. It says on stdout what it is asked, a line each: `http HOST PATH`, `tls SNI`,
`tcp PORT`, `quic`.
"""

import asyncio
import hashlib
import ssl
import sys
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

BIG = bytes(range(256)) * 40_000  # 10 MB


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 (that is its output)


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests, one after the other."""
    try:
        while await request(reader, writer):
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
    fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    say("http", fields.get("host", "-"), path)
    if fields.get("upgrade") == "websocket":
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        writer.write(await reader.read(100))
        return False
    body = await read_body(reader, fields)
    answer = BIG if path == "/big" else f"{method} {hashlib.sha256(body).hexdigest()}".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
    return True


async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while (await reader.readline()).strip():
        pass
    return body


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks first, as mail servers do."""
    say("tcp", 25)
    writer.write(b"220 mail.ok.test\r\n")
    writer.write(b"250 " + await reader.readline())
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    say("tcp", writer.get_extra_info("sockname")[1])
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


class Http3(QuicConnectionProtocol):
    """Answers each request of HTTP/3 with its path."""

    http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            say("quic")
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived):
                self.http.send_headers(each.stream_id, [(b":status", b"200")])
                self.http.send_data(each.stream_id, dict(each.headers)[b":path"], end_stream=True)
        self.transmit()


async def main(certificate: str, key: str) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    tls.sni_callback = lambda _, name, __: say("tls", name)
    quic = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    quic.load_cert_chain(Path(certificate), Path(key))
    await asyncio.start_server(http, None, 80)
    await asyncio.start_server(http, None, 443, ssl=tls)
    await asyncio.start_server(greet, None, 25)
    await asyncio.start_server(echo, None, 8080)
    await serve("::", 443, configuration=quic, create_protocol=Http3)  # IPv4 too
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
