from dataclasses import replace

import pytest

from enforcer.policy.compiled import PolicySettings
from enforcer.policy.rules import Answer, Evidence
from enforcer.policy.thirdparty import Format, Source
from enforcer.processes.policy import compile_config, settings_of, source_of
from tests.policy.made import NOW, list_text
from tests.processes.site import Site, Values


def test_what_judging_needs_is_taken_from_the_configuration(site: Site) -> None:
    site.resolver |= {"answer": "nodata", "nat64": [], "upstreams": ["udp://192.0.2.1:5353"]}
    expected = PolicySettings(answer=Answer.NODATA, ban="ban-1", nat64=(), upstreams=("192.0.2.1",))
    settings = settings_of(site.config)
    assert replace(settings, upstreams=tuple(map(str, settings.upstreams))) == expected


def test_a_third_party_list_is_named_by_its_file_unless_it_has_a_name(site: Site) -> None:
    (site.folder / "ads.txt").write_text("ads.test\n")
    written: Values = {"file": "ads.txt", "service": "ads"}
    full = {**written, "name": "mine", "part": "p", "evidence": "app", "max_bad_lines": 7, "format": "hosts"}
    site.policy["third_party"] = [written, full]
    file = str(site.folder / "ads.txt")
    assert [source_of(each) for each in site.config.policy.third_party] == [
        Source("ads", file, "ads", part="listed", evidence=Evidence.SHARED, max_bad_lines=100),
        Source("mine", file, "ads", part="p", evidence=Evidence.APP, format=Format.HOSTS, max_bad_lines=7),
    ]


def test_what_is_compiled_is_in_the_policy_folder_under_its_name(site: Site) -> None:
    compiled = compile_config(site.path, site.config, NOW)
    assert (site.folders.policy / compiled.sha256).is_file()
    assert compiled.services == ("chat",)
    assert sum(compiled.rules.values()) == 1


def test_every_mistake_of_every_list_is_reported_at_once(site: Site) -> None:
    (site.folder / "more.yaml").write_text(list_text(["suffix: a..test", "cidr: 192.0.2.1/24"], service="more"))
    site.ban(list_text(["suffix: 'chat,test'"]))
    site.policy |= {
        "lists": ["chat.yaml", "more.yaml"],
        "third_party": [{"file": "missing.txt", "service": "ads"}],
    }
    assert [mistake.split(": ")[0] for mistake in site.wrong()] == [
        "chat.yaml:8",
        "more.yaml:8",
        "more.yaml:9",
        "missing.txt",
    ]


def test_an_exemption_of_a_service_that_nothing_bans_is_a_mistake_with_its_line(site: Site) -> None:
    site.policy["exemptions"] = [
        {"group": "lab", "services": ["chta"], "until": "2027-01-01", "reason": "a test", "approved_by": "a tester"}
    ]
    (wrong,) = site.wrong()
    assert wrong.startswith("enforcer.yaml:1: policy.exemptions[0].services[0]: ")
    assert 'did you mean "chat"?' in wrong


def test_a_policy_that_does_not_do_what_its_lists_say_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.processes.policy.self_test", lambda _: ["chat.test is allowed"])
    assert site.wrong() == ["enforcer.yaml: self-test: chat.test is allowed"]


def test_a_warning_of_a_list_is_logged_and_stops_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.folder / "ads.txt").write_text("ads.test\n")
    site.policy["third_party"] = [{"file": "ads.txt", "service": "ads", "format": "domains"}]
    site.compile()
    assert "list event=warning" not in caplog.text
    (site.folder / "ads.txt").write_text("! nothing\n")
    site.compile()
    assert "list event=warning" in caplog.text


def test_a_list_that_answers_with_a_sinkhole_needs_its_address(site: Site) -> None:
    site.ban(list_text(["suffix: chat.test"], more="answer: sinkhole"))
    assert site.wrong() == [
        'chat.yaml: answer "sinkhole" has no address to give; write resolver.sinkhole in enforcer.yaml'
    ]
    site.resolver["sinkhole"] = ["192.0.2.80"]
    assert site.compile()


def test_our_own_encrypted_listeners_are_no_bypass(site: Site) -> None:
    files = {"certificate": "dns.pem", "key": "dns.key"}
    for name in files.values():
        (site.folder / name).touch()
    site.resolver["listeners"] = [
        {"name": "dns", "udp": "192.0.2.53:53", "tcp": "192.0.2.53:53", "tls": "192.0.2.54:853", **files},
        {"name": "any", "https": "0.0.0.0:443", **files},
    ]
    site.more = {"realms": [{"name": "lab", "networks": ["10.0.0.0/8"], "listeners": ["dns", "any"]}]}
    assert set(settings_of(site.config).upstreams) == {"127.0.0.1", "192.0.2.54"}
