"""The hub's part for the inventory: keeps it current, counts devices, answers who is connected and who is silent."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.attempts.access import Access, Look
from enforcer.config.model import Config
from enforcer.control import Answer, Operation, Request, number_of, text_of
from enforcer.devices.device import Source
from enforcer.devices.inventory import Found, Kind
from enforcer.devices.session import Session, State
from enforcer.devices.subject import is_randomised
from enforcer.errors import EnforcerError, Malformed, Mistakes, Unavailable
from enforcer.identity.inventory import inventory_of
from enforcer.identity.store import Store
from enforcer.part import Means, Part

ANSWER_MAX = 10_000
_TICK_S = 1.0
_FILE_TICKS = 2
_ROUND_TICKS = 60  # in which every session is looked at once
_SAVE_TICKS = 600
_COVERAGE_TICKS, _COVERAGE_MINUTES = 60, 10
_SWEEP_LEAST = 500
_DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


class RosterPart(Part):
    """The inventory, and what is known of its devices."""

    def __init__(self, means: Means) -> None:
        """Raises Unavailable when the folder for it cannot be had."""
        self._means = means
        self._config = means.config
        self._registry = means.registry
        self._store = Store(means.folders.identity)
        lasts_s = means.config.attempts.retention_days * 86_400  # with the last record of a pseudonym its key ends
        self._registry.key = self._store.key(means.clock().timestamp(), lasts_s)
        self._seen = self._store.seen()
        self._stamp = self._stamps()
        self._trouble: str | None = None
        self._sessions: Counter[tuple[str, State]] = Counter()
        self._unlisted: Counter[tuple[str, str]] = Counter()
        self._round: tuple[Counter[tuple[str, State]], Counter[tuple[str, str]]] = (Counter(), Counter())
        self._coverage: list[tuple[int, int]] = []
        self._count()

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Who is connected, who is silent, who an id is."""
        return {"sessions": self._op_sessions, "silent": self._op_silent, "reveal": self._op_reveal}

    async def run(self) -> None:
        """Each second a little of everything."""
        tick = 0
        while True:
            await asyncio.sleep(_TICK_S)
            tick += 1
            self._sweep()
            self._record_conflicts()
            if tick % _FILE_TICKS == 0:
                await self._follow_file()
            if tick % _COVERAGE_TICKS == 0:
                self._coverage = [*self._coverage, self._recorded()][-_COVERAGE_MINUTES:]
            if tick % _SAVE_TICKS == 0:
                self._save()

    def follow(self, config: Config) -> None:
        """A reload has read the inventory too."""
        self._config = config
        self._stamp = self._stamps()
        self._trouble = None

    def metrics(self) -> Iterable[Metric]:
        """Sessions, attempts by what told their device, conflicts, and what of the inventory cannot be used."""
        realms = [realm.name for realm in self._config.realms]
        sessions = GaugeMetricFamily(
            "enforcer_identity_sessions", "Accounting sessions that are kept", labels=("realm", "state")
        )
        unlisted = GaugeMetricFamily(
            "enforcer_identity_unlisted",
            "Open sessions of what is not in the inventory: a handset or SIM (unlisted), or a MAC that its device has "
            "made up (randomised)",
            labels=("realm", "kind"),
        )
        for realm in realms:
            for state in State:
                sessions.add_metric((realm, state.value), self._sessions[realm, state])
            for kind in ("unlisted", "randomised"):
                unlisted.add_metric((realm, kind), self._unlisted[realm, kind])
        lookups = CounterMetricFamily(
            "enforcer_identity_lookups",
            "Attempts recorded, by what told the device behind them and how fresh that was",
            labels=("realm", "source", "result"),
        )
        for realm in realms:
            for source in Source:
                for result in ("unknown",) if source is Source.UNKNOWN else ("hit", "stale"):
                    lookups.add_metric((realm, source.value, result), self._registry.lookups[realm, source, result])
        conflicts = CounterMetricFamily(
            "enforcer_identity_conflicts",
            "Look-ups in which two sources named different devices; the first one counted",
            labels=("source", "other"),
        )
        known = [source for source in Source if source is not Source.UNKNOWN]
        for i, source in enumerate(known):
            for other in known[i:]:
                conflicts.add_metric((source.value, other.value), self._registry.conflicts[source, other])
        coverage = GaugeMetricFamily(
            "enforcer_identity_coverage_ratio",
            "Share of the attempts of the last ten minutes that have a device; 1 when there were none",
        )
        coverage.add_metric((), self._ratio())
        rejected = GaugeMetricFamily(
            "enforcer_identity_inventory_rejected_lines", "Lines of the inventory that cannot be used"
        )
        rejected.add_metric((), len(self._registry.inventory.rejected))
        return sessions, unlisted, lookups, conflicts, coverage, rejected

    def problems(self) -> Iterable[str]:
        """What is wrong with the inventory."""
        if self._trouble is not None:
            yield f"the inventory has changed and cannot be used; the old one counts: {self._trouble}"
        rejected = self._registry.inventory.rejected
        if rejected:
            yield f"{len(rejected)} lines of the inventory cannot be used, the first: {rejected[0]}"

    def close(self) -> None:
        """Keep what is known."""
        self._save()

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What changes when the inventory or a token file does."""
        inventory = self._config.identity.inventory
        files = [each.token_file for each in self._config.resolver.listeners]
        return [_stamp(path) for path in (None if inventory is None else inventory.file, *files)]

    async def _follow_file(self) -> None:
        """Read the inventory again when its file has changed; one with mistakes leaves the old one in force."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            inventory = await asyncio.to_thread(inventory_of, self._config)
        except EnforcerError as error:
            self._trouble = str(error.mistakes[0] if isinstance(error, Mistakes) else error)
            _log.error("inventory event=refused kept=old error=%s", _without_values(self._trouble))
            return
        self._trouble = None
        self._registry.use(inventory)
        self._registry.moved = True
        self._count()
        _log.info("inventory event=reloaded devices=%d rejected=%d", len(inventory.devices), len(inventory.rejected))

    def _sweep(self) -> None:
        """Look at the next sessions; at the end of a round what was counted counts."""
        now_ms = self._now_ms()
        table = self._registry.sessions
        kept, last = table.sweep(now_ms, max(_SWEEP_LEAST, len(table) // _ROUND_TICKS))
        sessions, unlisted = self._round
        for session, state in kept:
            sessions[session.realm, state] += 1
            if state is State.OPEN:
                self._meet(session, self._registry.inventory.find(session.subject), now_ms, unlisted)
        if not last:
            return
        for claims in self._registry.claims:
            if claims.is_stale(now_ms):
                continue
            for _, subject in claims.held_now():
                found = self._registry.inventory.find(subject)
                if found is not None and found.device is not None:
                    self._seen[found.device.id] = now_ms
        for device in self._registry.proven:  # who roams is known by what it shows alone
            self._seen[device] = now_ms
        self._registry.proven.clear()
        self._sessions, self._unlisted = self._round
        self._round = (Counter(), Counter())
        self._count()

    def _meet(self, session: Session, found: Found | None, now_ms: int, unlisted: Counter[tuple[str, str]]) -> None:
        if found is None:
            return
        if found.device is not None:
            self._seen[found.device.id] = now_ms
        else:
            mac = session.subject.mac
            made_up = mac is not None and not session.subject.is_mobile and is_randomised(mac)
            unlisted[session.realm, "randomised" if made_up else "unlisted"] += 1

    def _count(self) -> None:
        """Devices by state. Where nothing tells who is connected, nobody is called silent."""
        now_ms = self._now_ms()
        devices = self._registry.inventory.devices
        tells = bool(self._registry.waits)
        self._registry.states = {
            "inventory": len(devices),
            "connected_24h": sum(now_ms - self._seen.get(device.id, 0) <= _DAY_MS for device in devices),
            "silent": len(self._silent(self._config.identity.silent_days)) if tells else 0,
        }

    def _silent(self, days: float) -> list[tuple[str, str | None, int | None]]:
        """Devices that no session, lease or tunnel has shown for so many days: id, group, when last (ms)."""
        since_ms = self._now_ms() - round(days * _DAY_MS)
        found = [(each.id, each.group, self._seen.get(each.id)) for each in self._registry.inventory.devices]
        return [each for each in found if each[2] is None or each[2] < since_ms]

    def _record_conflicts(self) -> None:
        """Both devices go into the log, once for each pair until the hub starts anew."""
        told = self._registry.disagreed
        if not self._config.policy.notice.monitoring_notice_acknowledged:
            return
        for conflict in [each for each, done in told.items() if not done]:
            told[conflict] = True
            detail = {
                "realm": conflict.realm,
                "source": conflict.source.value,
                "device": conflict.device,
                "other_source": conflict.other_source.value,
                "other_device": conflict.other_device,
            }
            self._means.record("identity_conflict", detail)

    def _recorded(self) -> tuple[int, int]:
        """How many attempts were recorded since the start, and how many of them with a device."""
        lookups = self._registry.lookups
        return lookups.total(), sum(count for (_, _, result), count in lookups.items() if result != "unknown")

    def _ratio(self) -> float:
        total, known = self._recorded()
        before, known_before = self._coverage[0] if self._coverage else (0, 0)
        return (known - known_before) / (total - before) if total > before else 1.0

    def _save(self) -> None:
        try:
            self._store.save_seen(self._seen)
        except OSError as error:
            _log.error("roster event=not_saved error=%s", error.strerror)

    async def _op_sessions(self, request: Request) -> Answer:
        """Open sessions, of all or of one device, by the names that records have too."""
        device = request.get("device")
        now_ms = self._now_ms()
        table, inventory = self._registry.sessions, self._registry.inventory
        found: list[dict[str, object]] = []
        for session in table.sessions():
            state = table.state(session, now_ms)
            who = inventory.find(session.subject)
            name = None if who is None else self._name(who)
            if state is State.CLOSED or (device is not None and name != device):
                continue
            found.append(
                {
                    "device": name,
                    "group": None if who is None or who.device is None else who.device.group,
                    "realm": session.realm,
                    "addresses": [str(prefix.network) for prefix in session.prefixes],
                    "since_ms": session.start_ms,
                    "last_ms": session.last_ms,
                    "state": state.value,
                    "source": Source.RADIUS.value,
                }
            )
            if len(found) >= ANSWER_MAX:
                break
        found += self._claimed(device)
        return {"sessions": found[:ANSWER_MAX], "more": len(found) >= ANSWER_MAX}

    def _claimed(self, device: object) -> Iterable[dict[str, object]]:
        for claims in self._registry.claims:
            for prefix, subject in claims.held_now():
                who = self._registry.inventory.find(subject)
                name = None if who is None else self._name(who)
                if who is not None and (device is None or name == device):
                    yield {
                        "device": name,
                        "group": None if who.device is None else who.device.group,
                        "realm": claims.realm,
                        "addresses": [str(prefix.network)],
                        "since_ms": None,
                        "last_ms": claims.read_ms,
                        "state": (State.STALE if claims.is_stale(self._now_ms()) else State.OPEN).value,
                        "source": claims.source.value,
                    }

    async def _op_silent(self, request: Request) -> Answer:
        days = number_of(request, "days", 1, 3650)
        return {
            "silent": [
                {"device": device, "group": group, "last_ms": last_ms} for device, group, last_ms in self._silent(days)
            ],
            "sources": bool(self._registry.waits),
        }

    async def _op_reveal(self, request: Request) -> Answer:
        """What a network knows a device by. Who asked and why is on the disk before anything is said."""
        name, who, reason = text_of(request, "id"), text_of(request, "who"), text_of(request, "reason")
        found: dict[str, set[str]] = {}
        for (kind, value), device in self._registry.inventory.keys.items():
            if device.id == name and kind not in (Kind.TOKEN, Kind.CERTIFICATE):
                found.setdefault(kind.value, set()).add(value)
        for session in self._registry.sessions.sessions():
            subject = session.subject
            whose = self._registry.inventory.find(subject)
            if whose is not None and self._name(whose) == name:
                pairs = zip(Kind, (subject.imei, subject.imsi, subject.msisdn, subject.mac), strict=False)
                for kind, text in pairs:
                    if text is not None:
                        found.setdefault(kind.value, set()).add(text)
        if not found and all(device.id != name for device in self._registry.inventory.devices):
            raise Malformed(f'"{name}" is neither in the inventory nor in any session that is kept')
        self._record_access(Access(Look.REVEAL, who, reason, device=name[:80]))
        return {"id": name, "identifiers": {kind: sorted(values) for kind, values in found.items()}}

    def _record_access(self, access: Access) -> None:
        try:
            self._means.record_now("access", access.detail())
        except OSError as error:
            raise Unavailable(f"the access cannot be recorded, so it is refused: {error.strerror}") from error

    def _name(self, found: Found) -> str | None:
        if found.device is not None:
            return found.device.id
        return None if found.unlisted is None else self._registry.pseudonym(found.unlisted)

    def _now_ms(self) -> int:
        return _ms(self._means.clock())


def _without_values(mistake: str) -> str:
    """Its file, its line and its kind: what is in quotes may be a device's number."""
    return re.sub('".*"', '"…"', mistake, flags=re.DOTALL)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes when a file does; None without one."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
