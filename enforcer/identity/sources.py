"""The hub's part that reads leases, neighbours and tunnels: each source in turn, in a thread, as often as is cheap."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from enforcer.config.identity import Identity, LeaseFormat
from enforcer.devices.claims import Claim, Claims
from enforcer.devices.device import Source
from enforcer.devices.registry import Waits
from enforcer.errors import Unavailable
from enforcer.identity.leases import KeaSocket, LeaseFile
from enforcer.identity.links import NeighbourTable, TunnelPeers
from enforcer.part import Means, Part

# How often each is read. A lease file that has not changed costs one system call, and its reading counts as new.
_FILE_S, _SOCKET_S, _KERNEL_S = 1.0, 10.0, 5.0
_STALE_READINGS = 6
_STALE_LEAST_S = 30.0
_PURGE_S = 600

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """One source."""

    def read(self) -> list[Claim] | None:
        """All that it says; None while it is as before. May take a moment. Raises Unavailable."""


@dataclass(slots=True)
class Watched:
    """A source with what it has said. trouble: why it cannot be read; None when it can."""

    name: str
    reader: Reader
    claims: Claims
    every_s: float
    trouble: str | None = None


class SourcesPart(Part):
    """Every source that is read as a whole."""

    def __init__(self, means: Means) -> None:
        settings = means.config.identity
        self._means = means
        self._watched = list(watched_of(settings))
        means.registry.claims = tuple(each.claims for each in self._watched)
        waits = Waits(round(settings.wait_s * 1000), round(settings.settle_s * 1000))
        means.registry.waits.update({each.claims.realm: waits for each in self._watched})

    async def run(self) -> None:
        """Read each source in its own rhythm."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._watched:
                tasks.create_task(self._follow(each))

    def metrics(self) -> Iterable[Metric]:
        """By realm and source, how many addresses it knows, and whether that is stale."""
        entries = GaugeMetricFamily(
            "enforcer_identity_source_entries", "Addresses that a source knows now", labels=("realm", "source")
        )
        stale = GaugeMetricFamily(
            "enforcer_identity_source_stale",
            "1 while a source could not be read for too long, so that its answers are stale",
            labels=("realm", "source"),
        )
        now_ms = _ms(self._means.clock())
        number: dict[tuple[str, str], int] = {}
        old: dict[tuple[str, str], bool] = {}
        for each in self._watched:
            key = (each.claims.realm, each.claims.source.value)
            number[key] = number.get(key, 0) + len(each.claims)
            old[key] = old.get(key, False) or each.claims.is_stale(now_ms) or each.claims.read_ms is None
        for key, count in number.items():
            entries.add_metric(key, count)
            stale.add_metric(key, old[key])
        return entries, stale

    def problems(self) -> Iterable[str]:
        """What cannot be read."""
        return [each.trouble for each in self._watched if each.trouble is not None]

    async def _follow(self, watched: Watched) -> None:
        purged = self._means.clock()
        while True:
            await self.look(watched)
            now = self._means.clock()
            if abs((now - purged).total_seconds()) >= _PURGE_S:
                watched.claims.purge(_ms(now))
                purged = now
            await asyncio.sleep(watched.every_s)

    async def look(self, watched: Watched) -> None:
        """One reading of one source."""
        try:
            found = await asyncio.to_thread(watched.reader.read)
        except Unavailable as error:
            if watched.trouble is None:
                _log.warning("source event=unavailable source=%s error=%s", watched.name, error)
            watched.trouble = str(error)
            return
        if watched.trouble is not None:
            _log.info("source event=available source=%s", watched.name)
        watched.trouble = None
        now_ms = _ms(self._means.clock())
        if found is None:
            watched.claims.confirm(now_ms)
        else:
            self._means.registry.read(watched.claims, found, now_ms)


def watched_of(settings: Identity) -> Iterator[Watched]:
    """Every source that a configuration names."""
    for leases in settings.leases:
        socket = leases.format is LeaseFormat.KEA_SOCKET
        reader: Reader = (
            KeaSocket(leases.path) if socket else LeaseFile(leases.path, kea=leases.format is LeaseFormat.KEA)
        )
        yield _watched(f"leases {leases.path}", reader, leases.realm, Source.LEASE, _SOCKET_S if socket else _FILE_S)
    for each in settings.neighbours:
        name = f"neighbours {' '.join(each.interfaces)}"
        yield _watched(name, NeighbourTable(each.interfaces), each.realm, Source.NEIGHBOUR, _KERNEL_S)
    for tunnel in settings.tunnels:
        name = f"tunnels {tunnel.interface}"
        yield _watched(name, TunnelPeers(tunnel.interface), tunnel.realm, Source.TUNNEL, _KERNEL_S)


def _watched(name: str, reader: Reader, realm: str, source: Source, every_s: float) -> Watched:
    stale_ms = round(max(every_s * _STALE_READINGS, _STALE_LEAST_S) * 1000)
    return Watched(name, reader, Claims(realm, source, stale_ms), every_s)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
