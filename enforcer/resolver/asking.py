"""What has to be asked for: once however many wait, kept as long as it lasts, and anew before it expires.

Nothing here knows policy. Who waits for an answer is whatever the caller gives, and is given back with it.
"""

from collections.abc import Callable, Mapping
from functools import partial

from enforcer.decide.cache import CD, DO, Cache, Cached, Failures, Key, cacheable
from enforcer.decide.dns import refused_upstream
from enforcer.errors import Malformed
from enforcer.resolver.upstream import Answer, Failure, Question, Upstreams
from enforcer.wire import dns
from enforcer.wire.dnscut import bare
from enforcer.wire.name import Name, parents

WAITERS_MAX = 20_000  # who wait for upstreams; then questions are dropped, until some were answered

type Kept = tuple[Cached, dns.Response]
"""What upstream answered, and what it reads as."""


class Asking[Waiting]:
    """The cache of one worker, and the upstreams behind it.

    give: told of each who waited what came of it. report: told of mistakes of ours, which are failures to who waits.
    prefetch: popular answers are asked for again before they expire. max_ttl: seconds that an answer is kept at most.
    """

    def __init__(
        self,
        cache: Cache,
        upstreams: Upstreams,
        forward: Mapping[Name, Upstreams],
        steady: Callable[[], float],
        *,
        give: Callable[[Kept | Failure, Waiting], None],
        report: Callable[[Exception], None],
    ) -> None:
        self.cache = cache
        self.prefetch = False
        self.max_ttl = 0
        self._failures = Failures()
        self._upstreams = upstreams
        self._forward = forward
        self._steady = steady
        self._give = give
        self._report = report
        self._pending: dict[Key, list[Waiting]] = {}
        self._waiters = 0

    @property
    def is_full(self) -> bool:
        """Whether so many wait that nobody else may."""
        return self._waiters >= WAITERS_MAX

    def cached(self, key: Key, now: float) -> Cached | None:
        """What the cache has, which is asked for again where it is popular and about to expire; nobody waits for it."""
        entry = self.cache.get(*key, now)
        due = self.prefetch and entry is not None and entry.is_due(now)
        if due and key not in self._pending and not self.has_failed(key, now):
            self._pending[key] = []
            self._send(key)
        return entry

    def has_failed(self, key: Key, now: float) -> bool:
        """Whether nobody could answer it just now, so that it is not to be asked for again (RFC 9520)."""
        return self._failures.blocked(*key, now)

    def ask(self, key: Key, waiting: Waiting) -> None:
        """Ask for what is not known, unless it is on its way; `give` is called when there is an answer, or none."""
        self._waiters += 1
        pending = self._pending.get(key)
        if pending is not None:
            pending.append(waiting)
            return
        self._pending[key] = [waiting]
        self._send(key)

    def _send(self, key: Key) -> None:
        octets, variant = key
        qname = octets[:-4]
        question = Question(
            qname,
            int.from_bytes(octets[-4:-2]),
            int.from_bytes(octets[-2:]),
            do=bool(variant & DO),
            cd=bool(variant & CD),
        )
        self._asked_for(qname).ask(question, partial(self._done, key))

    def _asked_for(self, qname: Name) -> Upstreams:
        """Who is asked for a name: the upstreams of the nearest domain that has some of its own."""
        if not self._forward:
            return self._upstreams
        zone = next((zone for zone in (qname, *parents(qname)) if zone in self._forward), None)
        return self._upstreams if zone is None else self._forward[zone]

    def _done(self, key: Key, result: Answer | Failure) -> None:
        """Upstream has answered, or nobody did: so is everybody who waits for it."""
        pending = self._pending.pop(key)
        self._waiters -= len(pending)
        kept: Kept | Failure
        try:
            kept = self._keep(key, result)
        except Exception as error:  # noqa: BLE001 (a bug of ours must not keep clients waiting)
            self._report(error)
            kept = Failure.REFUSED
        for waiting in pending:
            self._give(kept, waiting)

    def _keep(self, key: Key, result: Answer | Failure) -> Kept | Failure:
        """Keep the answer, or for a while that there is none."""
        now = self._steady()
        if isinstance(result, Answer):
            try:
                # Without AD where anybody on the way may have set it.
                plain, response = bare(result.wire, result.response, ad=result.authentic)
                entry = cacheable(plain, response, now, self.max_ttl)
                entry.ede = refused_upstream(result.response)
            except Malformed:
                result = Failure.REFUSED
            else:
                self._failures.forget(*key)
                self.cache.put(*key, entry, now)
                return entry, response
        self._failures.add(*key, now)
        return result
