"""Reloading while clients ask: nothing is lost, a new ban holds at once, a mistake changes nothing."""

import copy
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e.lan import BANNED, PHONE, Service, Unbound, assert_whole, dnsperf, exemption, question, total, wait_for

LATER = "suffix: later.test"


@pytest.fixture(scope="module")
def shared(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("reload"), upstream.url) as service:
        service.change(**{"resolver.workers": 2})
        yield service.start()


@pytest.fixture
def running(shared: Service) -> Iterator[Service]:
    """A running service; what a test changes is undone after it."""
    files = [shared.path, shared.folder / "chat.yaml", shared.folder / "devices.csv"]
    before, config = [file.read_text() for file in files], copy.deepcopy(shared.config)
    yield shared
    shared.config = config
    for file, text in zip(files, before, strict=True):
        file.write_text(text)
    shared.enforcer("reload")


def asked_everywhere(service: Service, name: str) -> set[int]:
    """The response codes for a name, from so many ports that every worker is asked."""
    return {service.send(question(name))[3] & 0xF for _ in range(24)}


def refusals(service: Service) -> float:
    return service.metric("enforcer_policy_loads_total", result="invalid")


@pytest.mark.timeout(120)
def test_no_query_is_lost_while_the_policy_changes_every_second(own: Service) -> None:
    own.change(**{"resolver.workers": 2})
    own.start()
    questions = [f"load{number}.{'blocked' if number % 5 == 0 else 'ok'}.test A" for number in range(200)]
    with dnsperf(own, [*questions, "flip.later.test A"], "-l", "90", "-Q", "3000", "-c", "8", "-t", "4") as load:
        for reloads in range(1, 6):
            own.ban(*BANNED, *([LATER] if reloads % 2 else []))
            own.enforcer("reload")
            assert asked_everywhere(own, "flip.later.test") == {3 if reloads % 2 else 0}
            time.sleep(0.3)
        result = load(now=True)
    assert result.sent > 3000
    assert result.lost == 0
    assert result.answered("SERVFAIL") == result.answered("REFUSED") == 0
    assert len(own.events("reload")) == 5
    assert own.stop() == 0
    blocked = own.counted("dns_responses", outcome="blocked")
    assert total(own.attempts()) == blocked >= result.answered("NXDOMAIN")
    assert_whole(own)


def test_a_new_ban_is_in_force_when_the_reload_returns_for_what_is_cached_too(running: Service) -> None:
    assert asked_everywhere(running, "cached.later.test") == {0}  # in the cache, and rendered, of every worker
    running.ban(*BANNED, LATER)
    assert "Reloaded: the policy was" in running.enforcer("reload")
    assert asked_everywhere(running, "cached.later.test") == {3}
    assert running.dig("cached.later.test").ede == "15 (Blocked)"
    assert total(running.recorded(25, name="cached.later.test")) == 25
    running.ban(*BANNED)
    running.enforcer("reload")
    assert asked_everywhere(running, "cached.later.test") == {0}


def test_a_list_with_mistakes_is_refused_with_each_of_them_and_changes_nothing(running: Service) -> None:
    before = refusals(running)
    running.ban(*BANNED, LATER, "suffix: 'wechat,com'", "cidr: 192.0.2.1/24")
    text = running.enforcer("reload", status=1)
    assert "chat.yaml:13:" in text
    assert '"wechat,com"' in text
    assert "chat.yaml:14:" in text
    assert asked_everywhere(running, "refused.later.test") == {0}
    assert asked_everywhere(running, "refused.blocked.test") == {3}
    assert "the last reload was refused" in running.enforcer("status")
    assert refusals(running) == before + 1


def test_a_configuration_with_mistakes_is_refused_and_changes_nothing(running: Service) -> None:
    running.ban(*BANNED, LATER)
    running.change(**{"policy.mode": "dream", "resolver.block_ttl": 5})
    text = running.enforcer("hub", status=2) + running.enforcer("config", "check", status=2)
    assert '"dream"' in text
    assert "block_ttl" in text
    before = refusals(running)
    running.kill("hub", signal.SIGHUP)
    wait_for(lambda: refusals(running) > before, "the reload is refused")
    assert asked_everywhere(running, "refused.later.test") == {0}


def test_sighup_reloads(running: Service) -> None:
    running.ban(*BANNED, LATER)
    running.kill("run", signal.SIGHUP)
    wait_for(lambda: asked_everywhere(running, "hup.later.test") == {3}, "the new ban is in force")
    wait_for(lambda: "SIGHUP" in [reload["who"] for reload in running.events("reload")], "the reload is recorded")
    assert running.process is not None
    assert running.process.poll() is None


def test_an_exemption_that_is_taken_back_ends_with_the_reload(running: Service) -> None:
    lab = "127.0.0.3"
    assert running.dig("taken.blocked.test", source=lab).status == "NOERROR"
    running.change(**{"policy.exemptions": [exemption("tablet", "2126-01-01")]})
    running.enforcer("reload")
    assert running.dig("taken.blocked.test", source=lab).status == "NXDOMAIN"
    assert running.dig("taken.blocked.test", source="127.0.0.2").status == "NOERROR"
    assert running.dig("taken.blocked.test", source=PHONE).status == "NXDOMAIN"


def test_a_changed_inventory_names_the_new_owner_from_then_on(running: Service) -> None:
    running.dig("owner.blocked.test", source=PHONE)
    running.recorded(1, name="owner.blocked.test", device="phone")
    devices = running.folder / "devices.csv"
    devices.write_text(devices.read_text().replace("phone,field,127.0.0.1 ::1", "successor,field,127.0.0.1"))
    running.enforcer("reload")
    running.dig("owner.blocked.test", source=PHONE)
    assert total(running.recorded(1, name="owner.blocked.test", device="successor")) == 1
    assert total(running.attempts(name="owner.blocked.test", device="phone")) == 1


def test_what_needs_a_restart_is_said(running: Service) -> None:
    running.change(**{"resolver.workers": 1})
    assert "resolver.workers has changed, which needs a restart" in running.enforcer("reload")
