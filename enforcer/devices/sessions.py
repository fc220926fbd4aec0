"""Who held which address when, from what gateways report of their sessions; exact in any order of arrival.

A session is known by its gateway and its id. Each report is an upsert: a session whose Start was lost begins with its
first Interim or Stop, and a Stop that comes before its Start waits for it. What a session held is kept by interval,
so that an attempt is attributed by its own time, also when reports come late. Times are ms since 1970.

    who held X at t: of all sessions that ever held X in this realm, the one that took it last before t; nobody when
    that one had given it up by t, since a newer session supersedes the older ones for ever
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import length_hint
from statistics import median_low

from enforcer.devices.device import Address
from enforcer.devices.prefix import Prefix, host_prefix
from enforcer.devices.session import Holding, Place, Report, Session, State, Status, joined, run, share

TOLERANCE_MS = 300_000  # how far a gateway's clock may be off before its time stamps are not used
_STALE_LEAST_MS = 30 * 60_000
_STALE_FOR_MS = 12 * 3_600_000
_SHORTEST_V6 = 48
_PER_ADDRESS = 32
_RESETS = 1024
_GAPS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and for how long. expire_ms: of sessions whose gateway never confirms any."""

    sessions: int = 400_000
    expire_ms: int = 24 * 3_600_000
    history_ms: int = 24 * 3_600_000


type _Key = tuple[str, str, str]
type _Gateway = tuple[str, str]


@dataclass(slots=True)
class _Known:
    """What is known of a gateway: when it began anew (on) or ended (off), and how far apart its reports are."""

    on_ms: list[int] = field(default_factory=list)
    off_ms: list[int] = field(default_factory=list)
    gaps: deque[int] = field(default_factory=lambda: deque(maxlen=_GAPS))
    last_ms: int = 0
    interval_ms: int = 0

    def saw(self, gap_ms: int) -> None:
        self.gaps.append(gap_ms)
        if len(self.gaps) < 8 or not self.interval_ms or not gap_ms % 16:  # now and then is enough
            self.interval_ms = median_low(self.gaps)


class SessionTable:
    """All sessions of all gateways.

    counts: `skewed` reports (the gateway's clock was not used), `refused` prefixes (too short to be one device's),
    `evicted` sessions (over the limit). skew_ms: by gateway, of its last report.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.counts: Counter[str] = Counter()
        self.skew_ms: dict[_Gateway, int] = {}
        self._sessions: dict[_Key, Session] = {}
        self._number = 0
        self._closed: dict[Session, None] = {}  # in the order in which they were seen to end
        self._holders: dict[Place, list[Session]] = {}
        self._lengths: dict[tuple[str, int], tuple[int, ...]] = {}
        self._gateways: dict[_Gateway, _Known] = {}
        self._changed: set[Place] = set()
        self._reset = False
        self._round: Iterator[_Key] = iter([])

    def __len__(self) -> int:
        return self._number

    def apply(self, report: Report) -> Session | None:
        """Take in a report; returns the session that it changed, or None for what is no session's."""
        at_ms = self._moment(report)
        known = self._gateways.setdefault((report.realm, report.gateway), _Known())
        known.last_ms = max(known.last_ms, report.arrival_ms)
        if report.status in (Status.ON, Status.OFF):
            times = known.on_ms if report.status is Status.ON else known.off_ms
            if at_ms not in times[-8:]:
                insort(times, at_ms)
                del times[:-_RESETS]
                self._reset = True
            return None
        start_ms = at_ms if report.lasted_s is None else at_ms - report.lasted_s * 1000
        told = report.status is Status.START or report.lasted_s is not None
        session = self._session(report, at_ms, start_ms, told=told)
        held = len(session.named) + len(session.runs)
        before = (session.start_ms, session.stop_ms, session.subject)
        session.start_ms = min(session.start_ms, start_ms)
        session.told |= told
        session.confirmed = True
        if report.subject:
            session.subject = joined(session.subject, report.subject)
        session.bearer = report.bearer or session.bearer
        if report.status is Status.STOP:
            session.stop_ms = at_ms if session.stop_ms is None else min(session.stop_ms, at_ms)
            session.ended_all |= report.ends_all
            self._closed.setdefault(session)
        else:
            if report.status is Status.INTERIM and at_ms > session.last_ms > 0:
                known.saw(at_ms - session.last_ms)
            session.first_ms = at_ms if session.first_ms is None else min(session.first_ms, at_ms)
        session.last_ms = max(session.last_ms, at_ms)
        for prefix in report.prefixes:
            self._bind(session, prefix, at_ms, stopped=report.status is Status.STOP)
        after = (session.start_ms, session.stop_ms, session.subject)
        if after != before or held != len(session.named) + len(session.runs):
            self._changed.update((session.realm, prefix) for prefix in session.prefixes)
        return session

    def holder(self, realm: str, address: Address, at_ms: int) -> Holding | None:
        """Who held an address at a moment; of nested prefixes the longest that anybody held."""
        host = host_prefix(address)
        whole = host.length
        for length in self._lengths.get((realm, host.version), ()):
            prefix = Prefix(host.version, length, host.bits >> (whole - length))
            sessions = self._holders.get((realm, prefix))
            if sessions is not None:
                found = self._held(sessions, prefix, at_ms)
                if found is not None:
                    return found
        return None

    def sessions(self) -> Iterator[Session]:
        """Every session that is kept, those with an earlier use of the same id behind the later one."""
        for newest in self._sessions.values():
            session: Session | None = newest
            while session is not None:
                yield session
                session = session.before

    def gateways(self) -> Iterator[tuple[str, str, int, int]]:
        """Realm, gateway, when its last report came, and how far apart its reports are (0: not known), in ms."""
        for (realm, gateway), known in self._gateways.items():
            yield realm, gateway, known.last_ms, known.interval_ms

    def resets(self) -> Iterator[tuple[str, str, list[int], list[int]]]:
        """Realm, gateway, and when it began anew and when it ended."""
        for (realm, gateway), known in self._gateways.items():
            if known.on_ms or known.off_ms:
                yield realm, gateway, known.on_ms, known.off_ms

    def restore(self, sessions: Iterable[Session], resets: Iterable[tuple[str, str, list[int], list[int]]]) -> None:
        """Take in what was kept over a restart, or by another gateway.

        A session is stale until a report confirms it where `confirmed` is False: who was away does not know what has
        ended meanwhile.
        """
        for realm, gateway, on_ms, off_ms in resets:
            known = self._gateways.setdefault((realm, gateway), _Known())
            known.on_ms, known.off_ms = sorted(on_ms), sorted(off_ms)
        for session in sorted(sessions, key=lambda each: each.start_ms):
            key = (session.realm, session.gateway, session.id)
            session.before = self._sessions.pop(key, None)
            self._add(key, session)
            if session.stop_ms is not None:
                self._closed[session] = None
            for prefix in session.prefixes:
                self._hold(session, prefix)

    def adopt(self, session: Session) -> bool:
        """Take in a session as another gateway knows it; False when that is no more than is known here already."""
        known = self._sessions.get((session.realm, session.gateway, session.id))
        if known is None:
            self.restore([session], ())
        elif (session.last_ms, session.stop_ms) == (known.last_ms, known.stop_ms):
            return False
        elif abs(session.start_ms - known.start_ms) > TOLERANCE_MS:  # of an earlier use of the id, or a later one
            if session.start_ms < known.start_ms:
                return False
            self.restore([session], ())
        else:
            self._join(known, session)
        self._changed.update((session.realm, prefix) for prefix in session.prefixes)
        return True

    def _join(self, known: Session, told: Session) -> None:
        """What either says of one session."""
        known.start_ms = min(known.start_ms, told.start_ms)
        known.told |= told.told
        firsts = [each for each in (known.first_ms, told.first_ms) if each is not None]
        stops = [each for each in (known.stop_ms, told.stop_ms) if each is not None]
        known.first_ms, known.stop_ms = min(firsts, default=None), min(stops, default=None)
        known.last_ms = max(known.last_ms, told.last_ms)
        known.ended_all |= told.ended_all
        known.subject = joined(told.subject, known.subject)
        for prefix, first, last in told.runs:
            known.runs = run(run(known.runs, prefix, first), prefix, last)
        for prefix, first in told.named.items():
            known.named[prefix] = min(first, known.named.get(prefix, first))
        for prefix in known.prefixes:
            self._hold(known, prefix)
        if known.stop_ms is not None:
            self._closed.setdefault(known)

    def narrower(self, realm: str, prefix: Prefix) -> bool:
        """Whether anybody in the realm has ever held a longer prefix than this one."""
        return any(length > prefix.length for length in self._lengths.get((realm, prefix.version), ()))

    def sweep(self, now_ms: int, most: int) -> tuple[list[tuple[Session, State]], bool]:
        """Look at the next `most` sessions, forget those that were over before the history began, return the others.

        The second value is True at the end of a round, in which each session was looked at once. To be called now and
        then, so that no look at a hundred thousand sessions holds anybody up.
        """
        oldest_ms = now_ms - self.limits.history_ms
        kept: list[tuple[Session, State]] = []
        for key in islice(self._round, most):
            session = self._sessions.get(key)
            while session is not None:
                older = session.before
                if self._over(session, oldest_ms):
                    self._forget(session)
                else:
                    kept.append((session, self.state(session, now_ms)))
                session = older
        last = length_hint(self._round) == 0
        if last:
            self._round = iter(list(self._sessions))
            for known in self._gateways.values():
                for times in (known.on_ms, known.off_ms):
                    del times[: bisect_left(times, oldest_ms - self.limits.expire_ms)]
        return kept, last

    def take_changes(self) -> tuple[set[Place], bool]:
        """The prefixes that may have changed hands since the last call; True when any may have."""
        changed, self._changed = self._changed, set()
        reset, self._reset = self._reset, False
        return changed, reset

    def _moment(self, report: Report) -> int:
        """When it happened: by the gateway's clock where that can be believed, and never later than it was told."""
        told_ms = report.arrival_ms - report.delay_s * 1000
        if report.stamp_ms is None:
            return told_ms
        skew_ms = report.stamp_ms - told_ms
        self.skew_ms[report.realm, report.gateway] = skew_ms
        if abs(skew_ms) > TOLERANCE_MS:
            self.counts["skewed"] += 1
            return told_ms
        return min(report.stamp_ms, told_ms)

    def _session(self, report: Report, at_ms: int, start_ms: int, *, told: bool) -> Session:
        """The session that a report is about: the latest use of its id that it can belong to, or a new one.

        told: the report knows when its session began.
        """
        key = (report.realm, report.gateway, report.session)
        newer: Session | None = None
        session = self._sessions.get(key)
        while session is not None:
            if session.told and at_ms < session.start_ms - TOLERANCE_MS:  # it is older: look further back
                newer, session = session, session.before
                continue
            closed_ms = self._closed_ms(session)
            from_ms = session.start_ms if session.told and told else closed_ms
            if (
                from_ms is not None and start_ms > from_ms + TOLERANCE_MS
            ):  # it has another start, or comes after the end
                break
            return session
        made = Session(report.realm, report.gateway, report.session, start_ms, before=session)
        if newer is not None:
            newer.before = made
            self._number += 1
        else:
            self._add(key, made)
        return made

    def _add(self, key: _Key, session: Session) -> None:
        if self._number >= self.limits.sessions:
            self._evict()
        self._sessions[key] = session
        self._number += 1

    def _evict(self) -> None:
        """Make room: the one that ended first, or else the one that was heard of first."""
        self.counts["evicted"] += 1
        self._forget(next(iter(self._closed), None) or next(iter(self._sessions.values())))

    def _forget(self, session: Session) -> None:
        key = (session.realm, session.gateway, session.id)
        newest = self._sessions.get(key)
        if newest is session:
            del self._sessions[key]
            if session.before is not None:
                self._sessions[key] = session.before
        else:
            while newest is not None and newest.before is not session:
                newest = newest.before
            if newest is not None:
                newest.before = session.before
        self._number -= 1
        self._closed.pop(session, None)
        for prefix in session.prefixes:
            place = (session.realm, prefix)
            holders = [each for each in self._holders.get(place, ()) if each is not session]
            if holders:
                self._holders[place] = holders
            else:
                self._holders.pop(place, None)

    def _bind(self, session: Session, prefix: Prefix, at_ms: int, *, stopped: bool) -> None:
        """Note that a report named a prefix. A Stop repeats what was held; it begins nothing."""
        if prefix.length != 32 if prefix.version == 4 else prefix.length < _SHORTEST_V6:
            self.counts["refused"] += 1
            return
        known = prefix in session.named or any(prefix == mine for mine, _, _ in session.runs)
        if stopped and (known or session.first_ms is not None):
            return
        if prefix.version == 6:
            session.named[prefix] = min(session.named.get(prefix, at_ms), at_ms)
        else:
            session.runs = run(session.runs, prefix, at_ms)
        if not known:
            self._hold(session, prefix)

    def _hold(self, session: Session, prefix: Prefix) -> None:
        holders = self._holders.setdefault((session.realm, prefix), [])
        if session in holders:
            return
        if len(holders) >= _PER_ADDRESS:
            oldest = min(holders, key=lambda each: (each.stop_ms is None, each.start_ms))
            holders.remove(oldest)
            self.counts["evicted"] += 1
        holders.append(session)
        lengths = self._lengths.get((session.realm, prefix.version), ())
        if prefix.length not in lengths:
            self._lengths[session.realm, prefix.version] = tuple(sorted((*lengths, prefix.length), reverse=True))

    def _held(self, sessions: list[Session], prefix: Prefix, at_ms: int) -> Holding | None:
        found = [
            (since, until, session)
            for session in sessions
            for since, until in session.held(prefix)
            if since <= at_ms and session.start_ms <= at_ms
        ]
        if not found:
            return None
        found.sort(key=lambda each: (each[0], each[2].stop_ms is None, each[2].start_ms, each[2].id), reverse=True)
        last = found[0][2]
        bearers = [each for each in found if each[2] is last or share(each[2], last)] if last.bearer else found[:1]
        ends = [each.stop_ms for _, _, each in bearers if each.ended_all and each.stop_ms is not None]
        for since, until, session in bearers:
            if session is not last and any(not share(each[2], last) and each[0] > since for each in found):
                break  # somebody else had the address in between
            given_up = (until is not None and until <= at_ms) or any(since <= end <= at_ms for end in ends)
            if not given_up and not self._over(session, at_ms):
                return Holding(
                    session.realm,
                    session.gateway,
                    session.id,
                    session.subject,
                    prefix,
                    since,
                    max(at_ms - session.last_ms, 0),
                    self._stale(session, at_ms),
                )
        return None

    def _closed_ms(self, session: Session) -> int | None:
        """When it was ended by its Stop, or by its gateway: one that begins anew has no session from before."""
        ends = [] if session.stop_ms is None else [session.stop_ms]
        known = self._gateways.get((session.realm, session.gateway))
        if known is not None and (known.on_ms or known.off_ms):
            # In one second: sessions can begin after the gateway did, and before it ended.
            begun, ended = bisect_right(known.on_ms, session.start_ms), bisect_left(known.off_ms, session.start_ms)
            ends += known.on_ms[begun : begun + 1] + known.off_ms[ended : ended + 1]
        return min(ends, default=None)

    def _over(self, session: Session, at_ms: int) -> bool:
        closed_ms = self._closed_ms(session)
        return (closed_ms is not None and closed_ms <= at_ms) or at_ms >= self._expires_ms(session)

    def _expires_ms(self, session: Session) -> int:
        interval_ms = self._interval(session)
        if not interval_ms:
            return session.last_ms + self.limits.expire_ms
        return session.last_ms + max(3 * interval_ms, _STALE_LEAST_MS) + _STALE_FOR_MS

    def state(self, session: Session, at_ms: int) -> "State":
        """In what condition a session is at a moment."""
        return (
            State.CLOSED if self._over(session, at_ms) else State.STALE if self._stale(session, at_ms) else State.OPEN
        )

    def _stale(self, session: Session, at_ms: int) -> bool:
        if not session.confirmed:
            return True
        interval_ms = self._interval(session)
        return bool(interval_ms) and at_ms >= session.last_ms + max(3 * interval_ms, _STALE_LEAST_MS)

    def _interval(self, session: Session) -> int:
        known = self._gateways.get((session.realm, session.gateway))
        return 0 if known is None else known.interval_ms
