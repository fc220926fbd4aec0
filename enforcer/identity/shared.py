"""The hub's part that shares sessions with other gateways through Redis.

Each gateway that gets accounting writes a session's latest state to a key of its own, which expires with the session,
and publishes the report. Each takes in what others have: all keys at the start and after each loss of the connection,
then each report as it comes. What is shared is what the session table is made of, so order and repetition change
nothing; when Redis is gone each goes on with what it knows.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.devices.registry import Waits
from enforcer.devices.session import Report, Session
from enforcer.errors import Corrupt, Unavailable
from enforcer.identity.journal import decode_report, decode_session, encode_report, encode_session
from enforcer.part import Means, Part

if TYPE_CHECKING:
    from redis.asyncio import Redis

CHANNEL = "enforcer:reports"
_KEYS = "enforcer:session:"
_PENDING_MAX = 100_000
_BATCH = 500
_FLUSH_S = 0.1
_RETRY_S = 2.0

_log = logging.getLogger(__name__)


class SharedPart(Part):
    """Tells, and is told. connected: whether Redis answers."""

    def __init__(self, means: Means) -> None:
        """Raises Unavailable when the library is not installed, or the password cannot be read."""
        settings = means.config.identity
        try:
            import redis.asyncio as redis  # noqa: PLC0415 (an extra: who shares nothing need not have it)
        except ImportError as error:
            raise Unavailable('identity.shared: the redis library is missing; install "enforcer[redis]"') from error
        self._error = redis.RedisError
        self._means = means
        self._registry = means.registry
        self._redis: Redis = redis.Redis.from_url(
            settings.shared or "",
            password=None if settings.shared_password_file is None else _password(settings.shared_password_file),
            socket_connect_timeout=2,
            socket_timeout=5,
            socket_keepalive=True,
        )
        self._expires_ms = round((settings.expire_h + settings.history_h) * 3_600_000)
        self._own = os.urandom(8).hex().encode()
        self._pending: deque[tuple[bytes, Session]] = deque(maxlen=_PENDING_MAX)
        self._told: set[Session] = set()
        self.connected = False
        self.lost = 0
        self.taken = 0
        waits = Waits(round(settings.wait_s * 1000), round(settings.settle_s * 1000))
        for realm in means.config.realms:
            self._registry.waits.setdefault(realm.name, waits)

    def tell(self, report: Report, session: Session | None) -> None:
        """A report that this gateway was told; it is shared with the others within a moment."""
        if session is None:
            return
        if len(self._pending) == _PENDING_MAX:
            self.lost += 1
        self._pending.append((encode_report(report), session))

    async def run(self) -> None:
        """Until cancelled; whatever Redis does."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish())
                tasks.create_task(self._listen())
        finally:
            with suppress(self._error, OSError):
                await self._redis.aclose()

    def metrics(self) -> Iterable[Metric]:
        """Whether Redis answers, what was taken from it, and what could not be told."""
        up = GaugeMetricFamily("enforcer_identity_shared_up", "1 while the Redis of the shared sessions answers")
        up.add_metric((), self.connected)
        taken = CounterMetricFamily("enforcer_identity_shared_reports", "Sessions and reports that other gateways told")
        taken.add_metric((), self.taken)
        lost = CounterMetricFamily("enforcer_identity_shared_lost", "Reports that were not told while Redis was away")
        lost.add_metric((), self.lost)
        return up, taken, lost

    def problems(self) -> Iterable[str]:
        """Whether Redis is away."""
        if not self.connected:
            yield "identity.shared: Redis does not answer; sessions of other gateways are not known"

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            batch = [self._pending[i] for i in range(min(len(self._pending), _BATCH))]
            if not batch:
                continue
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for session in dict.fromkeys(session for _, session in batch):
                        await pipe.set(_key(session), encode_session(session), px=self._expires_ms)
                    for report, _ in batch:
                        await pipe.publish(CHANNEL, self._own + report)
                    await pipe.execute()
            except (self._error, OSError):
                await asyncio.sleep(_RETRY_S)
            else:
                for _ in batch:
                    self._pending.popleft()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)  # first, so that nothing is told between
                    await self._take_all()
                    self.connected = True
                    _log.info("shared event=connected sessions=%d", len(self._registry.sessions))
                    async for message in channel.listen():
                        if message["type"] == "message":
                            self._take(message["data"])
            except (self._error, OSError) as error:
                if self.connected:
                    _log.warning("shared event=lost error=%s", error)
                self.connected = False
                await asyncio.sleep(_RETRY_S)

    async def _take_all(self) -> None:
        """Every session that is kept there."""
        cursor = 0
        while True:
            cursor, keys = await self._redis.scan(cursor, match=f"{_KEYS}*", count=_BATCH)
            lines = await self._redis.mget(keys) if keys else []
            for line in lines:
                with suppress(Corrupt):
                    if isinstance(line, bytes):
                        self._merge(decode_session(line))
            if not cursor:
                return

    def _merge(self, session: Session) -> None:
        """A session of another gateway, unless it is known here as well or better."""
        if self._registry.adopt(session):
            self.taken += 1

    def _take(self, data: bytes) -> None:
        own, line = data[: len(self._own)], data[len(self._own) :]
        if own == self._own:
            return
        with suppress(Corrupt):
            self._registry.report(decode_report(line))
            self.taken += 1


def _key(session: Session) -> str:
    return f"{_KEYS}{session.realm}:{session.gateway}:{session.id}"


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); mend identity.shared_password_file") from error
