import asyncio
from pathlib import Path

from enforcer.part import Part
from tests.processes.site import Site


def test_a_part_leaves_out_what_it_does_not_need(tmp_path: Path) -> None:
    part = Part()
    asyncio.run(part.run())
    part.follow(Site(tmp_path).config)
    part.close()
    assert (dict(part.operations), list(part.metrics()), list(part.problems())) == ({}, [], [])
