import asyncio
import os
from pathlib import Path
from unittest import mock

import pytest

from enforcer.errors import Malformed, Unavailable
from enforcer.hub.marks import Marks
from tests.hub.desk import Desk

WHAT = {"service": "chat", "state": "explained", "note": "a widget", "who": "alice"}


def mark(desk: Desk, **request: object) -> object:
    return asyncio.run(Marks(desk.means).operations["mark"](request))  # type: ignore[arg-type]


def test_a_mark_is_an_event(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert mark(desk, device="dev-1", **WHAT) == {}
    assert desk.log.synced.seq == desk.log.seq == 1, "on the disk before it is answered"
    mark(desk, realm="lab", client_ip="192.0.2.1", **WHAT)
    assert desk.events("mark") == [
        {"device": "dev-1", "realm": None, "client_ip": None, **WHAT},
        {"device": None, "realm": "lab", "client_ip": "192.0.2.1", **WHAT},
    ]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({**WHAT}, '"realm" is missing'),
        ({"device": "", **WHAT}, '"device" is missing'),
        ({"device": "dev-1", **WHAT, "note": ""}, '"note" is missing'),
        ({"device": "dev-1", **WHAT, "note": "é" * 300}, '"note" has more than 1200 octets'),
        ({"device": "dev-1", **WHAT, "state": "fine"}, '"state" is one of open, explained, escalated, closed'),
    ],
)
def test_half_a_mark_is_none(tmp_path: Path, request_: dict[str, object], said: str) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(Malformed, match=said):
        mark(desk, **request_)
    assert desk.events("mark") == []


def test_a_mark_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with (
        mock.patch.object(os, "write", side_effect=OSError(28, "No space left on device")),
        pytest.raises(Unavailable, match="the mark cannot be recorded: No space left"),
    ):
        mark(desk, device="dev-1", **WHAT)
    assert desk.events("mark") == []
