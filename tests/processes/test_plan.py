from enforcer.processes.plan import enforcing, plan
from tests.processes.site import Site


def test_there_are_as_many_resolvers_as_configured(site: Site) -> None:
    site.resolver["workers"] = 3
    assert plan(site.config) == (("dns", 0), ("dns", 1), ("dns", 2))


def test_there_are_as_many_proxies_as_configured_and_none_without_a_mode(site: Site) -> None:
    site.resolver["workers"] = 1
    site.more["proxy"] = {"workers": 2}
    assert plan(site.config) == (("dns", 0),)
    site.more["proxy"] = {"workers": 2, "modes": ["regular@127.0.0.1:5080"]}
    assert plan(site.config) == (("dns", 0), ("proxy", 0), ("proxy", 1))
    assert enforcing(site.config) == 3


def test_all_that_enforce_share_the_spool(site: Site) -> None:
    assert enforcing(site.config) == len(plan(site.config))


def test_sinks_have_one_process_that_needs_no_spool(site: Site) -> None:
    before = enforcing(site.config)
    site.more = {"attempts": {"sinks": [{"type": "file", "path": "a.ndjson"}]}}
    assert plan(site.config)[-1] == ("sinks", 0)
    assert enforcing(site.config) == before
