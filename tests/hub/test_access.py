import asyncio
import os
from pathlib import Path
from unittest import mock

import pytest

from enforcer.attempts.access import Access, Look
from enforcer.errors import Malformed, Unavailable
from enforcer.hub.access import AccessLog
from tests.hub.desk import Desk
from tests.records import whole

ACCESS = Access(Look.REVEAL, "alice", "ticket 4711", "dev-1")


def ask(desk: Desk, **request: object) -> object:
    return asyncio.run(AccessLog(desk.means).operations["access"](request))  # type: ignore[arg-type]


def test_an_access_is_on_the_disk_before_it_is_granted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert ask(desk, op="access", **ACCESS.detail()) == {"seq": 1}
    assert desk.log.synced.seq == 1
    assert desk.events("access") == [ACCESS.detail()]
    whole(desk.folders.log)


def test_without_a_reason_there_is_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(Malformed, match="say who looks, and why"):
        ask(desk, **{**ACCESS.detail(), "reason": ""})
    assert desk.events("access") == []


def test_an_access_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.record("start", {})
    with (
        mock.patch.object(os, "write", side_effect=OSError(28, "No space left on device")),
        pytest.raises(Unavailable, match="cannot be recorded, so it is refused"),
    ):
        ask(desk, **ACCESS.detail())
