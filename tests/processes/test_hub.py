import pytest

from enforcer.attempts.log import DayLog
from enforcer.errors import Mistakes
from enforcer.identity.accounting import AccountingPart
from enforcer.identity.roster import RosterPart
from enforcer.identity.sources import SourcesPart
from enforcer.part import Means
from enforcer.processes.hub import make_hub, parts_of
from tests.hub.desk import NOTARY
from tests.policy.made import NOW
from tests.processes.site import Site


def test_the_hub_has_a_part_for_each_source_of_identity(site: Site) -> None:
    (site.folder / "secret").write_text("a secret of some length by chance 7x")
    site.more["identity"] = {
        "radius": [
            {
                "realm": "lab",
                "listen": "127.0.0.1:5813",
                "clients": [{"network": "127.0.0.1", "secret_file": "secret"}],
            }
        ],
        "leases": [{"realm": "lab", "path": "leases"}],
    }
    log = DayLog(site.folders.log, NOTARY)
    means = Means(site.config, site.folders, lambda: NOW, lambda *_: None, log)
    parts = parts_of(means)
    try:
        assert [type(part) for part in parts[:3]] == [AccountingPart, SourcesPart, RosterPart]
        assert set(means.registry.waits) == {"lab"}
    finally:
        for part in parts:
            part.close()
        log.close()


def test_a_hub_of_a_configuration_with_mistakes_is_not_made(site: Site) -> None:
    site.path.write_text("nodes: 3\n")
    with pytest.raises(Mistakes, match="nodes"):
        make_hub(site.path)


def test_a_hub_has_compiled_its_policy_when_it_is_made(site: Site) -> None:
    assert site.config.node == make_hub(site.path).config.node
    assert len(list(site.folders.policy.glob("?" * 64))) == 1
