"""The processes of a benchmark: each on its core, measured from /proc, ended by its own pid."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
MEASURED, OTHER = CORES[0], CORES[min(1, len(CORES) - 1)]
"""The core of what is measured, and the core of all the rest; the same one where there is no second."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_S = 20.0
_FIELDS_BEFORE_UTIME = 11  # after the name, proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started, with all that it started itself. output: what it prints."""

    pid: int
    output: Path

    def cpu_s(self) -> float:
        """Seconds of CPU that it has had, its own and the system's on its behalf."""
        return sum(map(_cpu_s, _family(self.pid)))

    def memory(self) -> int:
        """Bytes of memory that it holds; a page that n processes share counts as 1/n of a page in each (PSS)."""
        return sum(map(_memory, _family(self.pid)))


@contextmanager
def started(command: Sequence[str], output: Path, core: int | None = None) -> Iterator[Running]:
    """Run a command while the block lasts, on one core, or with None on any; it also ends with the benchmark itself."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *pinned(command, core)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=output.parent,
        )
    try:
        yield Running(process.pid, output)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command that runs another on one core; on any, with None. The pid stays the same."""
    return list(command) if core is None else ["taskset", "--cpu-list", str(core), *command]


def enforcer(*arguments: str) -> list[str]:
    """A command of Enforcer."""
    return [sys.executable, "-m", "enforcer", *arguments]


def find(tool: str) -> str | None:
    """Path of an executable, on PATH or among the administrator's tools; None where it is not installed."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP."""
    while True:
        with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _family(pid: int) -> Iterator[int]:
    """A process, its children, and theirs."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        for child in _text(thread / "children").split():
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[_FIELDS_BEFORE_UTIME:][:2])) * _TICK_S


def _memory(pid: int) -> int:
    lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _text(path: Path) -> str:
    """Nothing, for a process that has ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
