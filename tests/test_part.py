import asyncio
from pathlib import Path

from enforcer.part import Part
from tests.hub.desk import Desk
from tests.processes.site import Site


def test_a_part_leaves_out_what_it_does_not_need(tmp_path: Path) -> None:
    part = Part()
    asyncio.run(part.run())
    part.follow(Site(tmp_path).config)
    part.close()
    assert (dict(part.operations), list(part.metrics()), list(part.problems())) == ({}, [], [])


def test_an_event_that_somebody_must_know_of_is_on_the_disk(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.means.record_now("access", {"who": "alice"})
    assert desk.events("access") == [{"who": "alice"}]
    assert desk.log.synced.seq == 1
