"""The addon in a mitmproxy of one's own: its option, the settings without which it would be no gate, its worker."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.exceptions import OptionsError
from mitmproxy.utils import asyncio_utils

from enforcer.errors import EnforcerError
from enforcer.proxy.addon import Enforcer, running_on
from enforcer.proxy.door import Door
from enforcer.proxy.quiet import silence

DEFAULT = "/etc/enforcer/enforcer.yaml"


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs in somebody else's mitmproxy. work: follows the hub until the process is told to end."""

    door: Door
    idle_s: int
    work: Callable[[], Coroutine[None, None, None]]


class Script(Enforcer):
    """Needs no part of the configuration's `proxy.modes`: mitmproxy listens as it is told on its command line.

    begin: makes the guest of a configuration and a worker's number; raises EnforcerError when that cannot be.
    """

    name = "enforcer"

    def __init__(self, begin: Callable[[Path, int], Guest]) -> None:
        super().__init__(None, running_on)
        self._begin = begin
        self._guest: Guest | None = None

    def load(self, loader: Loader) -> None:
        """Make our options known."""
        loader.add_option("enforcer_config", str, DEFAULT, "The configuration of Enforcer.")
        loader.add_option("enforcer_worker", int, 63, "The number of this worker: each has its own, 0 to 63.")

    def configure(self, updated: set[str]) -> None:  # noqa: ARG002 (ours is set every time)
        """Read the configuration, once; and set what a gate must have."""
        if self._guest is None:
            try:
                guest = self._begin(Path(ctx.options.enforcer_config), ctx.options.enforcer_worker)
            except EnforcerError as error:
                raise OptionsError(str(error)) from error
            self._guest, self._given = guest, guest.door
        wanted = {
            "connection_strategy": "lazy",  # eager connects before anything is known
            "block_global": False,  # it would refuse every phone with an IPv6 address
            "flow_detail": 0,
            "termlog_verbosity": "error",
            "tcp_timeout": self._guest.idle_s,
            "http2": False,  # of the block page
        }
        changed = {
            key: value for key, value in wanted.items() if key in ctx.options and getattr(ctx.options, key) != value
        }
        if changed:
            ctx.options.update(**changed)

    def running(self) -> None:
        """Follow the hub from now on."""
        silence()
        self._working = asyncio_utils.create_task(self._work(), name="enforcer", keep_ref=True)

    async def _work(self) -> None:
        assert self._guest is not None  # noqa: S101 (configure came before)
        try:
            await self._guest.work()
        except Exception as error:  # noqa: BLE001 (whatever it is: nobody may pass any more)
            self._failed(error)
        ctx.master.shutdown()  # it was told to end, or cannot go on: then nobody may pass
