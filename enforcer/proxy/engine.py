"""mitmproxy without its tools: a bare master with our addon and its listeners, and nothing that could look inside."""

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mitmproxy.addons.dns_resolver import DnsResolver
from mitmproxy.addons.strip_dns_https_records import StripDnsHttpsRecords
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.certs import CertStore
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import server

from enforcer.errors import Unavailable
from enforcer.proxy.addon import Enforcer, running_on
from enforcer.proxy.door import Door
from enforcer.proxy.mode import Listeners, configured, own
from enforcer.proxy.quiet import silence

_LOOK_S = 0.1
_UDP_IDLE_S = 180  # mitmproxy says 20; RFC 4787 §4.3 asks for two minutes or more

_log = logging.getLogger(__name__)


def make_authority(folder: Path) -> None:
    """See that the folder has an authority that signs block pages inside of TLS; workers make it one at a time.

    Raises Unavailable when it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            CertStore.from_store(folder, "mitmproxy", 2048)
        finally:
            os.close(lock)
    except OSError as error:
        raise Unavailable(f"{folder}: the authority of block pages cannot be kept there ({error.strerror})") from error


class _Started:
    """Hears when mitmproxy is ready."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        self.event.set()


class Engine:
    """One mitmproxy in this process."""

    def __init__(
        self,
        door: Door,
        sockets: Mapping[str, list[socket.socket]],
        others: tuple[str, ...],
        idle_s: int,
        ca: Path | None,
    ) -> None:
        """Needs a running loop. sockets: by the mode as configured, what is bound for it.

        others: modes that mitmproxy listens for itself. ca: the folder of the authority that signs block pages inside
        of TLS; None: no connection can be decrypted.
        """
        silence()
        server.UDP_TIMEOUT = _UDP_IDLE_S
        modes = [*map(own, sockets), *others]
        self._idle_s = idle_s
        self._master = Master(Options(mode=modes))
        self._master.options.update(tcp_timeout=idle_s, http2=False, http3=False)
        self._addon = Enforcer(door, running_on)
        self._listeners = Listeners(self._addon, {own(mode): bound for mode, bound in sockets.items()})
        self._master.addons.add(self._addon, self._listeners)
        self._master.options.update(connection_strategy="lazy")
        self._listeners.settle(self._master.options)
        if any(mode.startswith(("dns", "wireguard")) for mode in others):
            self._master.addons.add(DnsResolver(), StripDnsHttpsRecords())
        if ca is not None:
            make_authority(ca)
            self._master.options.update(confdir=str(ca))
            self._master.addons.add(TlsConfig())

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Accept connections in every mode. Raises Unavailable when one of them cannot begin."""
        started = _Started()
        self._master.addons.add(started)
        tasks.create_task(self._master.run())
        await started.event.wait()
        self._master.addons.remove(started)
        for each in self._listeners.servers:
            if not each.is_running:
                what = each.last_exception
                why = what.strerror if isinstance(what, OSError) and what.strerror else type(what).__name__
                raise Unavailable(f'proxy mode "{configured(each.mode.full_spec)}": cannot begin ({why})')

    def end_idle(self) -> None:
        """Once in a while: close what has been silent for too long."""
        self._listeners.end_idle(self._idle_s)

    async def drain(self, seconds: float) -> None:
        """Accept nobody any more, and give the connections that there are some time."""
        self._master.options.update(server=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._listeners.connections:  # noqa: ASYNC110 (they are mitmproxy's)
                    await asyncio.sleep(_LOOK_S)

    def stop(self) -> None:
        """End, and what is still connected with it."""
        self._master.shutdown()
