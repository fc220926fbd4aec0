"""A hub's control socket with canned answers, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from enforcer.control import Answer, Operation, Request, control_socket
from enforcer.folders import Folders


@contextmanager
def answering(data: Path, answers: Mapping[str, Answer]) -> Iterator[list[Request]]:
    """Answer each operation so; gives every request so far."""
    asked: list[Request] = []
    folders = Folders(data)
    folders.run.mkdir(parents=True, exist_ok=True)
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    def operation(name: str) -> Operation:
        async def answer(request: Request) -> Answer:
            asked.append(request)
            return answers[name]

        return answer

    async def serve() -> None:
        async with control_socket(folders.control, {name: operation(name) for name in answers}):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield asked
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
