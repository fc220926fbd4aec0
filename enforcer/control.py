"""The control socket: how commands ask the hub. One JSON object a line in, one out."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from enforcer.errors import EnforcerError, Malformed, Unavailable
from enforcer.notify import short

type Request = Mapping[str, object]
type Answer = Mapping[str, object]
type Operation = Callable[[Request], Awaitable[Answer]]

REQUEST_MAX = 65_536
ANSWER_MAX = 16 << 20
_TIMEOUT_S = 60.0  # a reload reads and checks every list


@asynccontextmanager
async def control_socket(path: Path, operations: Mapping[str, Operation]) -> AsyncIterator[None]:
    """Answer requests at a Unix socket that only our own user may open. The request's `op` names the operation.

    What an operation returns is answered with `"ok": true`; an EnforcerError with `"ok": false` and its text.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await _answer(line, operations)
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):  # a line without end, or a client that has gone
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=_bind(path), limit=REQUEST_MAX)
    try:
        yield
    finally:
        server.close()
        _remove(path)


def ask(path: Path, request: Request) -> Answer:
    """Ask the hub from another process, and wait for its answer.

    Raises Unavailable when no hub answers, and EnforcerError with the hub's text when it says no.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_TIMEOUT_S)
            with short(path) as near:
                sock.connect(near)
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as file:
                answer = json.loads(file.readline(ANSWER_MAX))
    except (OSError, ValueError) as error:
        raise Unavailable(f"{path}: the hub does not answer; is enforcer running with this data_dir?") from error
    if answer["ok"]:
        return {key: value for key, value in answer.items() if key != "ok"}
    raise EnforcerError(answer["error"])


def text_of(request: Request, key: str) -> str:
    """A member of a request that must be text. Raises Malformed."""
    value = request.get(key)
    if not isinstance(value, str) or not value:
        raise Malformed(f'"{key}" is missing; write text')
    return value


def number_of(request: Request, key: str, least: int, most: int) -> int:
    """A member of a request that must be a whole number within limits. Raises Malformed."""
    value = request.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f'"{key}" is not a whole number from {least} to {most}')
    return value


async def _answer(line: bytes, operations: Mapping[str, Operation]) -> Answer:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise Malformed("a request is a JSON object")
        operation = operations.get(str(request.get("op")))
        if operation is None:
            raise Malformed(f'"{request.get("op")}" is no operation; there are {", ".join(operations)}')
        return {"ok": True, **await operation(request)}
    except ValueError as error:
        return {"ok": False, "error": f"the request is not JSON: {error}"}
    except EnforcerError as error:
        return {"ok": False, "error": str(error)}


def _bind(path: Path) -> socket.socket:
    """Whoever calls holds the hub's lock, so a socket that is there is a dead hub's."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        with short(path) as near:
            sock.bind(near)
    except OSError as error:
        sock.close()
        raise Unavailable(f"{path}: cannot be made ({error.strerror})") from error
    finally:
        os.umask(mask)
    return sock


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
