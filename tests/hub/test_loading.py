from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from enforcer.blocklists import SIGNATURE
from enforcer.config.model import Config
from enforcer.devices.inventory import Inventory
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.hub.compiler import SELF_TEST, Compiled
from enforcer.hub.loading import Inputs, Loader
from tests.processes.site import Site
from tests.records import NOON_MS, moment

COMPILED = Compiled("ab" * 32, ("chat",), {("chat", "suffix"): 3})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Site(tmp_path).config


def loader(config: Config, wrong: EnforcerError | None = None) -> Loader:
    def policy(_: Config, at: datetime) -> Compiled:
        if wrong is not None:
            raise wrong
        return COMPILED

    return Loader(Inputs(lambda: config, lambda _: Inventory(), policy))


def test_what_is_loaded_has_everything_and_its_moment(config: Config) -> None:
    made = loader(config)
    loaded = made.load(moment(NOON_MS))
    assert (loaded.config, loaded.compiled, loaded.at) == (config, COMPILED, moment(NOON_MS))
    assert made.results == {"ok": 1}
    assert yaml.safe_load(loaded.text)["data_dir"] == str(config.data_dir)
    assert loaded.digest == sha256(loaded.text).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "result"),
    [
        (Mistakes([Mistake("a.yaml", 1, "no")]), "invalid"),
        (Mistakes([Mistake("a.yaml", 1, f"{SIGNATURE} is missing")]), "bad_signature"),
        (Mistakes([Mistake("a.yaml", None, f"{SELF_TEST}qq.com is blocked")]), "self_test_failed"),
        (Mistakes([Mistake("a", None, f"{SELF_TEST}x"), Mistake("a", 1, "no")]), "invalid"),
        (Unavailable("a.yaml: cannot be read"), "unreadable"),
    ],
)
def test_why_nothing_was_loaded_is_counted(config: Config, wrong: EnforcerError, result: str) -> None:
    made = loader(config, wrong)
    with pytest.raises(type(wrong)):
        made.load(moment(NOON_MS))
    assert made.results == {result: 1}


def test_what_takes_most_of_a_services_rules_away_is_refused_beside_what_it_would_replace(config: Config) -> None:
    sizes = iter((100, 40, 40))

    def policy(_: Config, at: datetime) -> Compiled:
        return Compiled("ab" * 32, ("chat",), {("chat", "suffix"): next(sizes)})

    made = Loader(Inputs(lambda: config, lambda _: Inventory(), policy))
    before = made.load(moment(NOON_MS))
    with pytest.raises(Mistakes, match="40 rules instead of 100"):
        made.load(moment(NOON_MS), before)
    assert made.load(moment(NOON_MS)).compiled.rules == {("chat", "suffix"): 40}
    assert made.results == {"ok": 2, "shrunk": 1}
