import asyncio
from pathlib import Path

import pytest

from enforcer.errors import Malformed
from enforcer.hub.visits import DEEDS, Visits
from tests.hub.desk import Desk

VISIT = {"who": "j.tremblay", "via": "password", "from": "192.0.2.1"}


def visit(desk: Desk, **request: object) -> object:
    return asyncio.run(Visits(desk.means).operations["visit"](request))  # type: ignore[arg-type]


def test_a_visit_is_an_event(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for what in DEEDS:
        assert visit(desk, what=what, **VISIT) == {}
    assert desk.events("visit") == [{"what": what, **VISIT} for what in DEEDS]


def test_long_names_are_cut(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    visit(desk, what="sign_in", **{**VISIT, "who": "x" * 500})
    assert desk.events("visit")[0]["who"] == "x" * 80


@pytest.mark.parametrize("change", [{"what": "export"}, {"who": ""}, {"via": None}, {"from": 7}], ids=str)
def test_half_a_visit_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(Malformed):
        visit(desk, **{"what": "sign_in", **VISIT, **change})
    assert desk.events("visit") == []
