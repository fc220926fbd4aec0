"""The hub's part that signs the log: every few minutes, and when somebody asks."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.config.model import Config
from enforcer.control import Answer, Operation, Request
from enforcer.errors import Unavailable
from enforcer.part import Means, Part

_POLL_S = 1.0
_LATE = 3  # times the interval, after which something is wrong

_log = logging.getLogger(__name__)


class Checkpoints(Part):
    """Signs the log also when nothing new is in it: a collector then sees that nothing was blocked, or nobody there."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._interval_ms = round(means.config.attempts.checkpoint_s * 1000)
        self._made = 0
        self._failures = 0
        self._trouble: str | None = None
        self._begun_ms = self._now_ms()
        self._last_ms: int | None = None  # of this hub; the first is made at once, to sign the start

    @property
    def operations(self) -> Mapping[str, Operation]:
        """`checkpoint`: sign now; answers with the checkpoint's number when it is on the disk."""
        return {"checkpoint": self._op_checkpoint}

    async def run(self) -> None:
        """Sign at the interval, by the wall clock; a clock that goes back only makes the next come sooner."""
        while True:
            await asyncio.sleep(_POLL_S)
            if self._last_ms is None or not 0 <= self._now_ms() - self._last_ms < self._interval_ms:
                self._sign()

    def follow(self, config: Config) -> None:
        """Another interval."""
        self._interval_ms = round(config.attempts.checkpoint_s * 1000)

    def metrics(self) -> Iterable[Metric]:
        """What alerts on a log that is not signed need."""
        log = self._means.log
        signed_ms = 0 if log.signed is None else log.signed.time_ms
        when = GaugeMetricFamily(
            "enforcer_log_checkpoint_timestamp_seconds", "When the log was last signed, since 1970; 0: never."
        )
        when.add_metric((), signed_ms / 1000)
        unsigned = GaugeMetricFamily("enforcer_log_unsigned_records", "Lines of the log behind the last signature.")
        unsigned.add_metric((), log.unsigned)
        made = CounterMetricFamily("enforcer_log_checkpoints", "Attempts to sign the log.", labels=("result",))
        made.add_metric(("ok",), self._made)
        made.add_metric(("failed",), self._failures)
        return when, unsigned, made

    def problems(self) -> Iterable[str]:
        """A log that cannot be signed, or was not for long."""
        if self._trouble is not None:
            yield self._trouble
        elif self._now_ms() - (self._last_ms or self._begun_ms) > _LATE * self._interval_ms:
            yield "the log was not signed for long: the hub is too busy, or its clock has stepped"

    def _sign(self) -> bool:
        log = self._means.log
        try:
            log.checkpoint(self._means.clock())
            log.sync()
        except OSError as error:
            self._failures += 1
            if self._trouble is None:
                _log.error("log event=not_signed error=%s", error.strerror)
            self._trouble = f"the log cannot be signed: {error.strerror}"
            return False
        self._made += 1
        self._trouble = None
        self._last_ms = self._now_ms()
        return True

    async def _op_checkpoint(self, _: Request) -> Answer:
        if not self._sign():
            raise Unavailable(str(self._trouble))
        return {"seq": self._means.log.seq}

    def _now_ms(self) -> int:
        return int(self._means.clock().timestamp() * 1000)
