"""A PostgreSQL server of Debian's package, as an unprivileged user in a folder of its own, on a Unix socket only."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.tools import need

_USER = "nobody" if os.geteuid() == 0 else None  # initdb does not run as root
_OPTIONS = (
    *("-c", "listen_addresses="),
    *("-c", "fsync=off"),  # it is killed, and the machine is not
    *("-c", "shared_buffers=128MB", "-c", "max_wal_size=2GB", "-c", "max_connections=20"),
)


class Postgres:
    """A server that can be stopped and started."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self._folder, self._tools = folder, tools
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://enforcer@/{database}?host={self._folder}"

    def create(self, database: str) -> str:
        """A new database; returns its URL."""
        with psycopg.connect(self.url(), autocommit=True) as db:
            db.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())
            db.execute(f'CREATE DATABASE "{database}"'.encode())
        return self.url(database)

    def there(self, database: str) -> str:
        """A database that is made where it is not there yet; returns its URL."""
        with psycopg.connect(self.url(), autocommit=True) as db:
            known = db.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone()
        return self.create(database) if known is None else self.url(database)

    def start(self) -> None:
        command: list[str | Path] = [
            self._tools / "postgres",
            "-D",
            self._folder / "data",
            "-k",
            self._folder,
            *_OPTIONS,
        ]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, user=_USER, cwd="/tmp")
        for _ in range(500):
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("PostgreSQL does not start")

    def stop(self, cleanly: bool = False) -> None:
        """At once, as if the machine had gone; or cleanly, with all that is in memory written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT if cleanly else signal.SIGQUIT)
            self._process.wait(300 if cleanly else 20)
            self._process = None


@contextmanager
def postgres(kept: Path | None = None) -> Iterator[Postgres]:
    """A running server. kept: a folder that stays when it is stopped, and may have one's data already."""
    found = Path(need("pg_config")) if shutil.which("pg_config") else None
    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:] or ([found.parent] if found else [])
    if not tools or not (tools[0] / "initdb").exists():
        need("initdb")
    folder = kept or Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short
    try:
        if not (folder / "data").exists():
            _initialise(folder, tools[0])
        server = Postgres(folder, tools[0])
        server.start()
        try:
            yield server
        finally:
            server.stop(cleanly=kept is not None)
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _initialise(folder: Path, tools: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if _USER is not None:
        shutil.chown(folder, _USER)
    command: list[str | Path] = [tools / "initdb", "-D", folder / "data", "-U", "enforcer", "-A", "trust"]
    command += ["-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, user=_USER, cwd="/tmp")
