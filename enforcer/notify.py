"""Readiness, as systemd asks for it (sd_notify(3)); `enforcer run` asks its own children the same way."""

import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
SUPERVISOR = "ENFORCER_SUPERVISOR"
WATCHDOG = "WATCHDOG=1"


def notify(state: str) -> None:
    """Tell whoever started this process, if it asked: `READY=1`, `STOPPING=1`, and while it lives `WATCHDOG=1`.

    The last is left out where nobody reads it just now: a supervisor that hangs must not make its workers hang.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    flags = socket.MSG_DONTWAIT if state == WATCHDOG else 0
    with (
        suppress(OSError),  # nobody listens any more, or reads; that must not stop anything
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        if address.startswith("@"):
            sock.sendto(state.encode(), flags, "\0" + address[1:])
        else:
            with short(Path(address)) as path:
                sock.sendto(state.encode(), flags, path)


def listen(path: Path) -> socket.socket:
    """A socket for a child's NOTIFY_SOCKET, which does not block; one that is there already is replaced."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with short(path) as bindable:
            sock.bind(bindable)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def short(path: Path) -> Iterator[str]:
    """The path of a socket through its open folder: what the kernel takes has no more than 107 octets."""
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def end_with_supervisor() -> None:
    """In a child of `enforcer run`: end when it is killed, so that no worker goes on beside its replacement."""
    supervisor = os.environ.get(SUPERVISOR)
    if supervisor is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(supervisor):  # it was killed before the line above
        os.kill(os.getpid(), signal.SIGTERM)
