"""Readiness over real sockets, and children that end with the process that started them."""

import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from enforcer.notify import SUPERVISOR, end_with_supervisor, listen, notify, short

# Ends with its supervisor, and in any case some time; what it prints ends when it does.
CHILD = """\
import signal, sys
from enforcer.notify import end_with_supervisor
signal.alarm(40)
end_with_supervisor()
print("lives", flush=True)
if sys.argv[1:] == ["wait"]:
    signal.pause()
"""
# Starts that child as `enforcer run` does.
PARENT = f"""\
import os, signal, subprocess, sys
signal.alarm(40)
subprocess.Popen([sys.executable, "-c", sys.argv[1], "wait"], env={{**os.environ, "{SUPERVISOR}": str(os.getpid())}})
signal.pause()
"""


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder whose path alone is longer than the kernel takes for a socket."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    return folder


def heard(sock: socket.socket) -> list[bytes]:
    """Everything that waits in a socket."""
    found = []
    while True:
        try:
            found.append(sock.recv(4096))
        except BlockingIOError:
            return found


# Telling


def test_a_supervisor_that_does_not_read_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listen(tmp_path / "notify") as sock:
        for _ in range(2000):  # the kernel holds a few hundred at most
            notify("WATCHDOG=1")
        assert set(heard(sock)) == {b"WATCHDOG=1"}
        notify("READY=1")
        assert heard(sock) == [b"READY=1"]


def test_a_state_reaches_a_socket_with_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listen(tmp_path / "notify") as sock:
        notify("READY=1")
        notify("STOPPING=1")
        assert heard(sock) == [b"READY=1", b"STOPPING=1"]


def test_a_state_reaches_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind("")  # the kernel finds a name
        name = sock.getsockname()
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
        notify("READY=1")
        assert heard(sock) == [b"READY=1"]


def test_a_state_reaches_a_socket_whose_path_is_too_long_for_the_kernel(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(deep / "notify"))
    with listen(deep / "notify") as sock:
        notify("READY=1")
        assert heard(sock) == [b"READY=1"]


@pytest.mark.parametrize("value", [None, "", "@nobody-listens-here", "/nowhere/notify", "notify"])
def test_nobody_to_tell_stops_nothing(value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    notify("READY=1")


def test_a_socket_whose_listener_has_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listen(tmp_path / "notify").close()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify("READY=1")


# Listening


def test_listening_does_not_block(tmp_path: Path) -> None:
    with listen(tmp_path / "notify") as sock, pytest.raises(BlockingIOError):
        sock.recv(4096)


def test_an_old_socket_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listen(tmp_path / "notify") as old, listen(tmp_path / "notify") as new:
        notify("READY=1")
        assert (heard(old), heard(new)) == ([], [b"READY=1"])


def test_without_its_folder_nothing_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        listen(tmp_path / "missing" / "notify")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_short_path_is_the_same_file_and_lives_as_long_as_it_is_used(deep: Path) -> None:
    (deep / "file").write_text("the same")
    with short(deep / "file") as path:
        assert len(path) < 107
        assert Path(path).read_text() == "the same"
    assert not Path(path).exists()


def test_a_socket_is_not_passed_on_to_children(tmp_path: Path) -> None:
    with listen(tmp_path / "notify") as sock:
        assert not sock.get_inheritable()
        assert stat.S_ISSOCK((tmp_path / "notify").stat().st_mode)


# Ending


def test_a_child_ends_when_its_supervisor_is_killed() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent,
        closing(parent.stdout) as printed,  # type: ignore[type-var]  # a pipe was asked for
    ):
        assert printed is not None
        assert printed.readline() == b"lives\n"
        parent.kill()
        assert printed.read() == b""  # the end: nobody holds the pipe any more
    assert parent.returncode == -signal.SIGKILL


def run_child(supervisor: int | None) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != SUPERVISOR}
    if supervisor is not None:
        environment[SUPERVISOR] = str(supervisor)
    return subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, check=False)


def test_a_child_whose_supervisor_was_killed_before_it_could_say_so_ends_at_once() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    child = run_child(ended.pid)
    assert (child.returncode, child.stdout) == (-signal.SIGTERM, b"")


@pytest.mark.parametrize("supervised", [True, False])
def test_a_child_lives_beside_its_supervisor_or_without_one(supervised: bool) -> None:
    child = run_child(os.getpid() if supervised else None)
    assert (child.returncode, child.stdout, child.stderr) == (0, b"lives\n", b"")


def test_a_process_that_nobody_supervises_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUPERVISOR, raising=False)
    monkeypatch.setattr("enforcer.notify.ctypes", None)  # it would be used
    end_with_supervisor()
