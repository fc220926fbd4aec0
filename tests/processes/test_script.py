import pytest
from mitmproxy.hooks import all_hooks

from enforcer.errors import Unavailable
from enforcer.processes import script
from enforcer.proxy.script import Script
from tests.processes.site import Site


def test_mitmproxy_finds_one_addon() -> None:
    [found] = script.addons
    assert isinstance(found, Script)


def test_nothing_in_the_file_is_taken_for_a_hook() -> None:
    assert [name for name in all_hooks if callable(getattr(script, name, None))] == []


def test_a_guest_has_the_door_of_a_worker_without_an_address(site: Site) -> None:
    site.more["proxy"] = {"idle_s": 3601}
    assert site.config.proxy.modes == ()
    guest = script.begin(site.path, 63)
    assert guest.idle_s == 3601
    assert guest.door.inside == ()
    assert (site.folders.spool / "proxy-63").is_dir()


def test_a_configuration_that_is_not_there(site: Site) -> None:
    with pytest.raises(Unavailable):
        script.begin(site.folder / "none.yaml", 63)
