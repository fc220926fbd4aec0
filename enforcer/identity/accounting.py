"""The hub's part that takes in RADIUS accounting: sockets, journal, session table."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ssl import SSLContext

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.config.identity import Proof, Radius
from enforcer.devices.registry import Waits
from enforcer.devices.session import Report, Session, State
from enforcer.devices.sessions import Limits, SessionTable
from enforcer.errors import Unavailable
from enforcer.identity.journal import Journal
from enforcer.identity.radius import (
    Client,
    Feed,
    RadSec,
    Result,
    enlarge,
    listen_udp,
    radsec_context,
    read_secret,
)
from enforcer.part import Means, Part
from enforcer.sockets import bound
from enforcer.wire.radius import RADSEC_SECRET

SNAPSHOT_S = 3600
JOURNAL_MAX = 64 << 20
_TOLD = ("event_s", "session_s", "imsi", "imeisv", "calling", "ipv4", "ipv6", "prefixes")
_SWAPS_MAX = 100_000

_log = logging.getLogger(__name__)

type Tell = Callable[[Report, Session | None], None]


@dataclass(frozen=True, slots=True)
class _Door:
    """A feed with its sockets; context: for the one over TLS."""

    feed: Feed
    udp: socket.socket | None
    tls: socket.socket | None
    context: SSLContext | None
    names: dict[str, Client]


class AccountingPart(Part):
    """RADIUS accounting. tell: called with each report that was taken in, and its session."""

    def __init__(self, means: Means, tell: Tell | None = None) -> None:
        """Load what was kept, and take every address. Raises Unavailable."""
        settings = means.config.identity
        self._means = means
        self._registry = means.registry
        self._tell = tell
        hour_ms = 3_600_000
        limits = Limits(settings.sessions_max, round(settings.expire_h * hour_ms), round(settings.history_h * hour_ms))
        self._registry.sessions = SessionTable(limits)
        self._trouble: str | None = None
        self._swaps: dict[str, str] = {}
        self._named = means.config.policy.notice.monitoring_notice_acknowledged
        try:
            self._journal = Journal(means.folders.identity)
            bad = self._journal.load(self._registry.sessions)
        except OSError as error:
            raise Unavailable(f"{means.folders.identity}: cannot be used ({error.strerror})") from error
        if bad:
            _log.warning("journal event=damaged lines=%d", bad)
        self._doors: list[_Door] = []
        try:
            for radius in settings.radius:
                self._doors.append(self._door(radius))
        except Unavailable:
            self.close()
            raise
        waits = Waits(round(settings.wait_s * 1000), round(settings.settle_s * 1000))
        self._registry.waits.update({radius.realm: waits for radius in settings.radius})
        _log.info("radius event=listening sessions=%d", len(self._registry.sessions))

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        servers = []
        for door in self._doors:
            if door.udp is not None:
                loop.add_reader(door.udp.fileno(), listen_udp, door.udp, door.feed, self._now_ms)
            if door.tls is not None:
                radsec = RadSec(door.feed, door.names, self._now_ms)
                servers.append(
                    await asyncio.start_server(
                        radsec.serve, sock=door.tls, ssl=door.context, ssl_handshake_timeout=10, limit=8192
                    )
                )
        try:
            await self._keep()
        finally:
            for server in servers:
                server.close()
            for door in self._doors:
                if door.udp is not None:
                    loop.remove_reader(door.udp.fileno())

    def metrics(self) -> Iterable[Metric]:
        """Packets by realm and result, when the last came, and how far the gateways' clocks are off."""
        packets = CounterMetricFamily(
            "enforcer_radius_packets", "Accounting packets by what became of them", labels=("realm", "result")
        )
        last = GaugeMetricFamily(
            "enforcer_radius_last_packet_timestamp_seconds",
            "When the last authentic packet came, in seconds since 1970; 0 before the first",
            labels=("realm",),
        )
        skew = GaugeMetricFamily(
            "enforcer_radius_event_skew_seconds",
            "How far the clock of the gateway that is furthest off differs from ours, in its last report",
            labels=("realm",),
        )
        table = self._registry.sessions
        for realm in dict.fromkeys(door.feed.realm for door in self._doors):
            feeds = [door.feed for door in self._doors if door.feed.realm == realm]
            for result in Result:
                packets.add_metric((realm, result.value), sum(feed.results[result] for feed in feeds))
            newest = max(client.last_ms for feed in feeds for client in feed.clients)
            last.add_metric((realm,), newest / 1000)
            off = [ms for (where, _), ms in table.skew_ms.items() if where == realm]
            skew.add_metric((realm,), max(off, key=abs, default=0) / 1000)
        told = GaugeMetricFamily(
            "enforcer_radius_told",
            "1 when accounting of the realm has had this since the start: what its gateways were to be set up to send",
            labels=("realm", "what"),
        )
        for realm in dict.fromkeys(door.feed.realm for door in self._doors):
            seen = {
                what for door in self._doors if door.feed.realm == realm for c in door.feed.clients for what in c.seen
            }
            for what in _TOLD:
                told.add_metric((realm, what), what in seen)
        counts = CounterMetricFamily(
            "enforcer_identity_refusals",
            "What accounting said and was not believed: clocks that are off, prefixes of whole networks; and sessions "
            "forgotten since there were too many",
            labels=("reason",),
        )
        for reason in ("skewed", "refused", "evicted"):
            counts.add_metric((reason,), table.counts[reason])
        return packets, last, skew, told, counts

    def problems(self) -> Iterable[str]:
        """Whether reports cannot be recorded, and which gateways have gone silent."""
        if self._trouble is not None:
            yield self._trouble
        now_ms = self._now_ms()
        for realm, gateway, last_ms, interval_ms in self._registry.sessions.gateways():
            if interval_ms and now_ms - last_ms > 2 * interval_ms:
                yield f"radius: nothing from {gateway} of realm {realm} for {(now_ms - last_ms) // 1000} s"

    def seen(self) -> dict[str, list[str]]:
        """What each client's accounting has told so far, for comparing with what was agreed."""
        return {
            f"{door.feed.realm} {client.label}": sorted(client.seen)
            for door in self._doors
            for client in door.feed.clients
        }

    def close(self) -> None:
        """Let go of addresses and files."""
        for door in self._doors:
            for sock in (door.udp, door.tls):
                if sock is not None:
                    sock.close()
        self._journal.close()

    def take(self, reports: Sequence[Report]) -> bool:
        """Record reports; False when that cannot be done, and the gateways must not be told that it was."""
        try:
            self._journal.append(reports)
            self._trouble = None
        except OSError as error:
            if self._trouble is None:
                _log.error("journal event=not_written error=%s", error.strerror)
            self._trouble = f"radius: reports cannot be recorded, and are not answered: {error.strerror}"
        for report in reports:  # in memory they serve all the same, and when they come again change nothing
            session = self._registry.report(report)
            if session is not None:
                self._watch_sim(session)
            if self._tell is not None:
                self._tell(report, session)
        return self._trouble is None

    async def _keep(self) -> None:
        """The journal onto the disk each second; all sessions anew each hour, or when the journal is long."""
        written = self._means.clock()
        while True:
            await asyncio.sleep(1)
            now = self._means.clock()
            due = abs((now - written).total_seconds()) >= SNAPSHOT_S or self._journal.octets >= JOURNAL_MAX
            try:
                if due:  # also without reports: what the history does not need any more is not to stay on the disk
                    await self._journal.snapshot(self._registry.sessions)
                    written = now
                await asyncio.to_thread(self._journal.sync)
            except OSError as error:
                self._trouble = f"radius: the journal cannot be kept: {error.strerror}"
                _log.error("journal event=not_kept error=%s", error.strerror)

    def _watch_sim(self, session: Session) -> None:
        """A SIM in another handset than the inventory's is a finding, once for each handset."""
        imsi = session.subject.imsi
        found = self._registry.inventory.find(session.subject)
        if imsi is None or found is None:
            return
        if found.moved_from is None:
            self._swaps.pop(imsi, None)
            return
        unlisted = "" if found.unlisted is None else self._registry.pseudonym(found.unlisted)
        now_in = found.device.id if found.device is not None else unlisted
        if self._swaps.get(imsi) == now_in:
            return
        if len(self._swaps) >= _SWAPS_MAX:
            self._swaps.clear()
        self._swaps[imsi] = now_in
        if self._named and session.prefixes and self._state(session) is not State.CLOSED:
            detail = {"realm": session.realm, "sim_of": found.moved_from.id, "device": now_in}
            self._means.record("sim_swap", detail)

    def _state(self, session: Session) -> State:
        return self._registry.sessions.state(session, self._now_ms())

    def _door(self, radius: Radius) -> _Door:
        clients = []
        names = {}
        for each in radius.clients:
            if each.network is not None and each.secret_file is not None:
                label = str(each.network)
                clients.append(Client(label, each.network, read_secret(each.secret_file), each.calling_station))
            if each.name is not None:
                names[each.name] = Client(each.name, None, RADSEC_SECRET, each.calling_station)
        feed = Feed(
            radius.realm,
            [*clients, *names.values()],
            self.take,
            proof_required=radius.message_authenticator is Proof.ALWAYS,
        )
        udp = None if radius.listen is None else bound(radius.listen, socket.SOCK_DGRAM, key="identity.radius")
        if udp is not None:
            enlarge(udp)
        if radius.tls is None or radius.certificate is None or radius.key is None or radius.client_ca is None:
            return _Door(feed, udp, None, None, names)
        try:
            context = radsec_context(radius.certificate, radius.key, radius.client_ca)
            return _Door(feed, udp, bound(radius.tls, socket.SOCK_STREAM, key="identity.radius"), context, names)
        except Unavailable:
            if udp is not None:
                udp.close()
            raise

    def _now_ms(self) -> int:
        return int(self._means.clock().timestamp() * 1000)
