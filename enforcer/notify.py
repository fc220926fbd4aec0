"""Readiness, as systemd asks for it (sd_notify(3)); `enforcer run` asks its own children the same way."""

import ctypes
import os
import signal
import socket
from pathlib import Path

_PR_SET_PDEATHSIG = 1
SUPERVISOR = "ENFORCER_SUPERVISOR"


def notify(state: str) -> None:
    """Tell whoever started this process, if it asked to be told: `READY=1`, `RELOADING=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return  # nobody listens any more; that must not stop anything


def listen(path: Path) -> socket.socket:
    """A socket for a child's NOTIFY_SOCKET, which does not block."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.bind(str(path))
    return sock


def end_with_supervisor() -> None:
    """In a child of `enforcer run`: end when it is killed, so that no worker goes on beside its replacement."""
    supervisor = os.environ.get(SUPERVISOR)
    if supervisor is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(supervisor):  # it was killed before the line above
        os.kill(os.getpid(), signal.SIGTERM)
