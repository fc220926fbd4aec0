"""Every scenario file, played against the resolver without sockets (`play` says how they read)."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.scenarios.play import Play, Scenario, scenarios

ALL = dict(scenarios())


@pytest.mark.parametrize("name", ALL)
def test_scenario(name: str, tmp_path: Path) -> None:
    with closing(Play(ALL[name], tmp_path)) as play:
        play.run()


def test_a_scenario_that_says_something_wrong_fails(tmp_path: Path) -> None:
    right = ALL["qname-1"]
    first = right.steps[0]
    changes: list[dict[str, object]] = [
        {"records": []},
        {"asks": ["x A"]},
        {"gets": "nothing"},
        {"gets": {"rcode": "REFUSED"}},
    ]
    for number, change in enumerate(changes):
        wrong = Scenario.model_validate({**right.model_dump(), "steps": [{**first.model_dump(), **change}]})
        with closing(Play(wrong, tmp_path / str(number))) as play, pytest.raises(AssertionError):
            play.run()
