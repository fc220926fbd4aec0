"""A control socket with the hub's real parts behind it, for commands that ask them."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from enforcer.control import control_socket
from enforcer.part import Part
from tests.hub.desk import Desk


@contextmanager
def served(desk: Desk, parts: Sequence[Part]) -> Iterator[None]:
    """Answer at the desk's control socket while the block runs."""
    operations = {name: operation for part in parts for name, operation in part.operations.items()}
    desk.folders.run.mkdir(parents=True, exist_ok=True)
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with control_socket(desk.folders.control, operations):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
