"""The resolver that every server forwards to: it answers any A or AAAA question, in batches, to be quicker than all.

usage: upstream.py PORT
"""

import asyncio
import select
import socket
import sys
import threading
from contextlib import suppress

from enforcer.resolver.mmsg import BATCH, PLACE, Batch, batch_for

_A = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc6\x33\x64\1"  # 198.51.100.1 for an hour
_AAAA = b"\xc0\x0c\0\x1c\0\1\0\0\x0e\x10\0\x10\x20\1\x0d\xb8" + b"\0" * 11 + b"\1"
_ANSWERS = {b"\0\1": (b"\0\1", _A), b"\0\x1c": (b"\0\1", _AAAA)}
_HEADER = 12


def serve(port: int) -> None:
    """Answer on 127.0.0.1 until the process is ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        sock.bind(("127.0.0.1", port))
        threading.Thread(target=asyncio.run, args=(serve_tcp(port),), daemon=True).start()
        batch = batch_for(sock, any_address=False)
        while True:
            select.select((sock,), (), ())
            while answer_batch(batch) == BATCH:
                pass


async def serve_tcp(port: int) -> None:
    """The same over TCP, for servers that ask over what they were asked over."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                wire = answer(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
                writer.write(len(wire).to_bytes(2) + wire)

    async with await asyncio.start_server(converse, "127.0.0.1", port) as server:
        await server.serve_forever()


def answer_batch(batch: Batch) -> int:
    """Answer what there is, at most one batch; how many that was."""
    lengths, _ = batch.receive()
    for index, length in enumerate(lengths):
        at = index * PLACE
        wire = answer(batch.buffer[at : at + length])
        batch.buffer[at : at + len(wire)] = wire
        batch.sizes[2 * index + 1] = len(wire)
    batch.send(0, len(lengths))
    return len(lengths)


def answer(query: bytes) -> bytes:
    """NOERROR with an address; without one for other types. Without EDNS, whether the query has it or not."""
    end = query.index(0, _HEADER) + 5
    count, record = _ANSWERS.get(query[end - 4 : end - 2], (b"\0\0", b""))
    return b"%b\x85\x80\0\1%b\0\0\0\0%b%b" % (query[:2], count, query[_HEADER:end], record)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
