"""`enforcer run`: starts the hub and the workers, replaces the ones that end or hang, stops them in order.

The hub comes first, since it compiles the policy that workers need, and goes last, so that it records what they
blocked until the end.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from enforcer.control import ask
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.notify import SUPERVISOR, listen

READY_S = 60.0  # to compile a million names on a slow machine
STOP_S = 10.0
SILENT_S = 30.0  # a process that has said so long that it lives, and then nothing, is stuck
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.1, 5.0
STEADY_S = 60.0  # having lived so long, the next restart is at once again
WRONG_USE = 2  # the exit status for a mistake that no restart mends

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One process that is kept alive."""

    kind: str
    name: str
    command: tuple[str, ...]
    restarts: int = 0
    process: asyncio.subprocess.Process | None = None
    up: bool = False
    heard: float | None = None  # when it last said that it lives; None: it never has
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Keeps one hub and the workers alive.

    workers: the kind and number of each. config: what the hub reads. accepted: where it puts what it has accepted,
    which is what workers read: one that is replaced must not meet a file that is being edited. run: the folder for
    sockets, where the hub's is as well.
    """

    def __init__(
        self,
        *,
        config: Path,
        accepted: Path,
        run: Path,
        control: Path,
        workers: Iterable[tuple[str, int]],
        steady: Callable[[], float],
    ) -> None:
        self._run = run
        self._control = control
        self._steady = steady
        self._stop = asyncio.Event()
        self._failed: EnforcerError | None = None
        self._tasks = asyncio.TaskGroup()
        self._hub = self._child("hub", "hub", config)
        self._workers = [self._child(kind, f"{kind}-{number}", accepted, number) for kind, number in workers]

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT. ready: called when everything answers.

        When a process cannot be started the first time, raises Mistakes or Unavailable, as it did. Raises Unavailable
        when the folder cannot be made.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(f"{self._run}: cannot be made ({error.strerror})") from error
        async with self._tasks:
            announced = self._tasks.create_task(self._start(ready))
            watch = self._tasks.create_task(self._watch())
            await self._stop.wait()
            announced.cancel()
            watch.cancel()
            await self._end(self._workers)
            await self._end([self._hub])
        if self._failed is not None:
            raise self._failed

    async def _start(self, ready: Callable[[], None]) -> None:
        self._hub.task = self._tasks.create_task(self._keep(self._hub))
        await self._hub.ready.wait()
        for worker in self._workers:
            worker.task = self._tasks.create_task(self._keep(worker))
        for worker in self._workers:
            await worker.ready.wait()
        ready()

    def _child(self, kind: str, name: str, config: Path, number: int | None = None) -> Child:
        command = [sys.executable, "-P", "-m", "enforcer", kind, "--config", str(config)]  # -P: ours, not the folder's
        if number is not None:
            command += ["--worker", str(number)]
        return Child(kind, name, tuple(command))

    async def _keep(self, child: Child) -> None:
        """Start a process, and again when it ends, waiting longer each time while it does not last."""
        back_off = BACK_OFF_MIN_S
        while not self._stop.is_set():
            started = self._steady()
            try:
                status = await self._once(child)
            except OSError as error:  # no memory, or no room for its socket: there may be some later
                _log.error("process event=not_started name=%s error=%s", child.name, error.strerror or error)
                status = os.EX_OSERR
            if self._stop.is_set():
                return
            if status > 0 and not child.ready.is_set():  # it ended by itself: whoever starts us should know
                mistake = Mistake(child.name, None, "it cannot start; its message above says why")
                self._failed = Mistakes([mistake]) if status == WRONG_USE else Unavailable(str(mistake))
                self._stop.set()
                return
            child.restarts += 1
            if self._steady() - started >= STEADY_S:
                back_off = BACK_OFF_MIN_S
            _log.warning("process event=ended name=%s status=%s restart_in_s=%.1f", child.name, status, back_off)
            self._tell(child)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), back_off)
            back_off = min(back_off * 2, BACK_OFF_MAX_S)

    async def _once(self, child: Child) -> int:
        """Run a process until it ends; returns its exit status."""
        loop = asyncio.get_running_loop()
        path = self._run / f"notify-{child.name}"
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), SUPERVISOR: str(os.getpid())}
        child.up, child.heard = False, None
        with listen(path) as sock:
            process = await asyncio.create_subprocess_exec(*child.command, env=environment, start_new_session=True)
            child.process = process
            if self._stop.is_set():  # meanwhile, so that nobody else ends it
                _signal(child, signal.SIGTERM)
            loop.add_reader(sock.fileno(), self._heard, child, sock)
            too_late = loop.call_later(READY_S, self._give_up, child)
            try:
                return await process.wait()
            finally:
                too_late.cancel()
                loop.remove_reader(sock.fileno())
                child.process = None
                child.up = False

    def _heard(self, child: Child, sock: socket.socket) -> None:
        """A process has said something to its NOTIFY_SOCKET."""
        said = sock.recv(4096)
        if b"WATCHDOG=1" in said:
            child.heard = self._steady()
        if b"READY=1" not in said or child.process is None:
            return
        child.up = True
        child.ready.set()
        _log.info("process event=ready name=%s pid=%d", child.name, child.process.pid)
        for each in (self._hub, *self._workers) if child is self._hub else (child,):  # a new hub knows of nobody
            self._tell(each)

    def _give_up(self, child: Child) -> None:
        if not child.up and child.process is not None:
            _log.error("process event=not_ready name=%s after_s=%d", child.name, READY_S)
            _signal(child, signal.SIGKILL)

    async def _watch(self) -> None:
        """Kill a process that lives but does nothing any more; `_keep` starts it again."""
        while True:
            await asyncio.sleep(SILENT_S / 10)
            for child in (self._hub, *self._workers):
                if child.process is None or child.heard is None or self._steady() - child.heard < SILENT_S:
                    continue
                _log.error("process event=stuck name=%s silent_s=%d", child.name, SILENT_S)
                child.heard = None
                _signal(child, signal.SIGKILL)

    def _tell(self, child: Child) -> None:
        """Let the hub show it; that must never be in the way."""
        request: dict[str, object] = {
            "op": "worker",
            "kind": child.kind,
            "name": child.name,
            "pid": child.process.pid if child.process is not None else None,
            "restarts": child.restarts,
            "up": child.up,
        }
        self._tasks.create_task(asyncio.to_thread(_tell_hub, self._control, request))

    async def _end(self, children: list[Child]) -> None:
        for child in children:
            _signal(child, signal.SIGTERM)
        tasks = [child.task for child in children if child.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)
        for child in children:
            if child.process is not None:
                _log.error("process event=killed name=%s after_s=%d", child.name, STOP_S)
                _signal(child, signal.SIGKILL)

    def _reload(self) -> None:
        """SIGHUP: the hub compiles anew, and tells the workers."""
        _signal(self._hub, signal.SIGHUP)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        with suppress(ProcessLookupError):  # it has ended in this moment
            child.process.send_signal(number)


def _tell_hub(control: Path, request: dict[str, object]) -> None:
    with suppress(EnforcerError):
        ask(control, request)
