"""The hub's part that sees its clock being set: a step forward goes into the chain, as the recorder's steps back do."""

import asyncio
import logging
from collections.abc import Callable

from enforcer.part import Means, Part

STEP_S = 60.0
"""More than this between two looks is a step: no clock that is merely disciplined runs away so fast."""

_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class ClockWatch(Part):
    """Compares the wall clock with one that nobody can set.

    A step back is in the chain already, since the recorder sees it by its own lines, also over a restart. A machine
    that slept is a step forward too: nothing was enforced meanwhile, and the chain should say so.
    """

    def __init__(self, means: Means, steady: Callable[[], float]) -> None:
        """steady: seconds of a clock that never goes back, and stands still while the machine sleeps."""
        self._means, self._steady = means, steady
        self._wall_s, self._steady_s = means.clock().timestamp(), steady()

    async def run(self) -> None:
        """Look each second."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.look()

    def look(self) -> None:
        """Record how far the clock went more than time did since the last look, when that is a step."""
        wall_s, steady_s = self._means.clock().timestamp(), self._steady()
        ahead_s = wall_s - self._wall_s - (steady_s - self._steady_s)
        self._wall_s, self._steady_s = wall_s, steady_s
        if ahead_s > STEP_S:
            self._means.record("clock_step", {"forward_ms": round(ahead_s * 1000)})
            _log.warning("clock event=stepped forward_s=%d", ahead_s)
