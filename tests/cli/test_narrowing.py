from pathlib import Path

from enforcer.attempts.index import Filter
from enforcer.cli.narrowing import Which, filter_of, open_index
from enforcer.config.load import load
from enforcer.folders import Folders
from tests.records import NOON_MS, moment


def test_options_become_a_filter() -> None:
    which = Which(
        since=moment(NOON_MS),
        until=None,
        service="chat",
        part="media",
        evidence="app",
        device="dev-1",
        group="team",
        client="192.0.2.1",
        name="chat.test",
        rule="r",
        layer="dns",
        action="blocked",
        realm="lab",
    )
    assert filter_of(which) == Filter(
        NOON_MS, None, "chat", "media", "app", "dns", "blocked", "lab", "dev-1", "team", "192.0.2.1", "chat.test", "r"
    )


def test_the_index_of_the_configuration_is_opened(site: Path, recorded: Folders) -> None:
    with open_index(load(site / "enforcer.yaml")) as index:
        assert index.seq() == 5
