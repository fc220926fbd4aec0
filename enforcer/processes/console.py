"""The console and the block page as a process: it reads the index and the compiled policies, and asks the hub."""

import asyncio
import logging
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from enforcer.attempts.index import Index
from enforcer.attempts.index.open import SQLITE, open_reader
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.config.values import Endpoint
from enforcer.console.access import Access
from enforcer.console.app import make_app
from enforcer.console.cached import Cached
from enforcer.console.desk import Desk
from enforcer.console.policies import Policies
from enforcer.console.render import Renderer
from enforcer.console.sinkhole import Sinkhole, sinkhole_app
from enforcer.console.site import Site
from enforcer.console.users import UsersFile
from enforcer.control import ask
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.notify import notify
from enforcer.pageserver import Certificate, PageServer, page_server
from enforcer.processes.clock import CLOCK, utc_now
from enforcer.processes.sockets import tcp_socket

UPKEEP_S = 2.0
IDLE_READERS = 8
_SCRAPE_S = 10.0

_log = logging.getLogger(__name__)


class ConsoleProcess:
    """The pages of a configuration, each at its own address."""

    def __init__(self, config: Config) -> None:
        """Raises Unavailable for a certificate or a secret that cannot be used."""
        self._config = config
        self._accepted = Accepted(config)
        self._folders = Folders(config.data_dir)
        self._policies = Policies(self._folders)
        where, file = config.attempts.index, self._folders.index_file
        self._readers = Readers(lambda: open_reader(where, file), 0 if where == SQLITE else IDLE_READERS)
        self._certificate: Certificate | None = None
        self._desk: Desk | None = None
        self._apps: list[tuple[Endpoint, ASGIApp]] = []
        console = config.console
        if console is not None:
            if console.certificate is not None and console.key is not None:
                self._certificate = Certificate(console.certificate, console.key)
            site = self._site()
            self._desk = site.desk
            self._apps.append((console.listen, make_app(site)))
        if config.block_page is not None:
            sinkhole = Sinkhole(self._accepted.now, self._policies, self._index, utc_now)
            self._apps.append((config.block_page.listen, sinkhole_app(sinkhole)))

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. ready: called when every page answers.

        Raises Unavailable when an address cannot be had, or there is nothing to serve.
        """
        if not self._apps:
            raise Unavailable('there are no pages to serve; write "console" or "block_page" into the configuration')
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop.set)
        with ExitStack() as sockets:
            bound = [(sockets.enter_context(tcp_socket(endpoint)), app) for endpoint, app in self._apps]
            servers: list[PageServer] = []
            async with asyncio.TaskGroup() as tasks:
                for number, (sock, app) in enumerate(bound):
                    sock.listen()
                    own = self._certificate if number == 0 and self._config.console is not None else None
                    server = page_server(app, None if own is None else own.context)
                    servers.append(server)
                    tasks.create_task(server.serve(sockets=[sock]))
                upkeep = tasks.create_task(self._upkeep())
                ready()
                _log.info("console event=ready pages=%d", len(servers))
                await stop.wait()
                upkeep.cancel()
                for server in servers:
                    server.should_exit = True
        self._readers.close()

    async def _upkeep(self) -> None:
        while True:
            notify("WATCHDOG=1")
            if self._certificate is not None:
                self._certificate.follow()
            if self._desk is not None:
                with suppress(EnforcerError):
                    await asyncio.to_thread(self._desk.catch_up)
            await asyncio.sleep(UPKEEP_S)

    def _site(self) -> Site:
        config, folders = self._config, self._folders
        console = config.console
        if console is None:
            raise Unavailable("console: missing")
        return Site(
            settings=console,
            node=config.node,
            clock=utc_now,
            config=self._accepted.now,
            index=self._index,
            policies=self._policies,
            desk=Desk(partial(ask, folders.control), lambda: scrape(config.metrics.listen)),
            log=folders.log,
            access=Access(console, UsersFile(users_file(config)), utc_now),
            renderer=Renderer(),
            cached=Cached(CLOCK.steady),
        )

    def _index(self) -> AbstractContextManager[Index]:
        return self._readers.borrow()


class Readers:
    """Reading ends of the index, one a request. keep: how many stay open for the next ones.

    A SQLite file costs nothing to open, and may have been moved aside; a connection to a database costs milliseconds.
    """

    def __init__(self, make: Callable[[], Index], keep: int) -> None:
        self._make, self._keep = make, keep
        self._idle: list[Index] = []

    @contextmanager
    def borrow(self) -> Iterator[Index]:
        """A reading end of one's own. Raises Unavailable."""
        try:
            index = self._idle.pop()
        except IndexError:
            index = self._make()
        sound = False
        try:
            yield index
            sound = True
        finally:
            if sound and len(self._idle) < self._keep:
                self._idle.append(index)
            else:
                index.close()

    def close(self) -> None:
        """Let go of all."""
        while self._idle:
            self._idle.pop().close()


class Accepted:
    """The configuration in force, as the hub has accepted it; before that, the one that we were started with."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._path = Folders(config.data_dir).accepted
        self._seen: tuple[int, int] | None = None

    def now(self) -> Config:
        """Read again when the hub has accepted another one."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._seen:
                self._config = load(self._path, files=False)
                self._seen = seen
        except (OSError, EnforcerError) as error:
            _log.debug("configuration event=not_read error=%s", type(error).__name__)
        return self._config


def users_file(config: Config) -> Path:
    """Where the console's users are."""
    console = config.console
    return Folders(config.data_dir).console / "users" if console is None or console.users is None else console.users


def scrape(endpoint: Endpoint) -> str:
    """The hub's page for Prometheus. Raises Unavailable."""
    address = endpoint.address
    host = (
        ("127.0.0.1" if address.version == 4 else "[::1]")
        if address.is_unspecified
        else f"{endpoint}".rpartition(":")[0]
    )
    url = f"http://{host}:{endpoint.port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=_SCRAPE_S) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise Unavailable(f"{url}: does not answer ({error})") from error
