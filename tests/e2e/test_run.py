"""`enforcer run` as systemd and people start and stop it."""

import json
import socket
import time

from tests.e2e.lan import Service, assert_whole, dnsperf, total, wait_for


def test_it_says_when_it_is_ready_and_ends_in_time_with_everything_recorded(own: Service) -> None:
    """Readiness comes on NOTIFY_SOCKET, where `start` waits for it."""
    own.start()
    assert own.dig("ready.blocked.test").status == "NXDOMAIN"  # at once: ready means that it answers
    names = [f"end{number}.blocked.test A" for number in range(50)]
    with dnsperf(own, names, "-l", "3", "-Q", "2000", "-t", "1") as load:
        time.sleep(1.5)
        began = time.monotonic()
        assert own.stop() == 0
        assert time.monotonic() - began < 5
        load()
    assert own.pids() == {}
    assert total(own.attempts()) == own.counted("dns_responses", outcome="blocked") > 1000
    assert [line["event"] for line in own.log() if line["type"] == "event"] == ["start", "configuration", "stop"]
    assert_whole(own)


def test_what_was_recorded_stays_through_a_restart(own: Service) -> None:
    for name in ("once.blocked.test", "twice.blocked.test"):
        own.start()
        own.dig(name)
        assert own.stop() == 0
    assert [line["name"] for line in own.attempts()] == ["once.blocked.test", "twice.blocked.test"]
    own.start()
    assert own.metric("enforcer_attempts_total", service="chat") == 2
    assert_whole(own)


def test_a_configuration_with_mistakes_does_not_start_and_all_of_them_are_listed(own: Service) -> None:
    own.change(**{"policy.mode": "dream", "resolver.block_ttl": 5, "nodes": 3})
    text = own.enforcer("run", status=2)
    for mistake in ("enforcer.yaml:", '"dream"', "block_ttl", "nodes"):
        assert mistake in text
    assert "Traceback" not in text
    assert not own.data.exists()


def test_lists_with_mistakes_do_not_start_and_all_of_them_are_listed(own: Service) -> None:
    own.ban("suffix: 'wechat,com'", "suffix: fine.test", "exact: fine.test", "cidr: 192.0.2.1/24")
    text = own.enforcer("run", status=2)
    for line in (8, 10, 11):
        assert f"chat.yaml:{line}: " in text, text
    assert "Traceback" not in text


def test_an_address_that_somebody_has_is_said_and_not_tried_for_ever(own: Service) -> None:
    with socket.create_server(("127.0.0.1", own.metrics_port)):
        assert f"127.0.0.1:{own.metrics_port}: cannot listen on TCP" in own.enforcer("run", status=1)
    with socket.create_server(("127.0.0.1", own.port)):
        assert f"127.0.0.1:{own.port}: cannot listen on TCP" in own.enforcer("run", status=1)


def test_a_second_run_on_the_same_data_says_so_and_ends(own: Service) -> None:
    own.start()
    text = own.enforcer("run", status=1)
    assert "another hub (process " in text
    assert own.dig("first.blocked.test").ede == "15 (Blocked)"
    own.recorded(1, name="first.blocked.test")


def test_the_status_tells_of_every_process(service: Service) -> None:
    status = json.loads(service.enforcer("status", "--json"))
    assert set(status["processes"]) == {"hub", "dns-0", "dns-1"}
    assert {name: each["pid"] for name, each in status["processes"].items()} == service.pids()
    assert status["problems"] == []


def test_a_worker_that_ends_is_replaced(own: Service) -> None:
    own.start()
    for name in ("dns-0", "hub"):
        pid = own.kill(name)
        assert own.restarted(name, pid) != pid
    assert own.dig("again.blocked.test").ede == "15 (Blocked)"
    own.recorded(1, name="again.blocked.test")
    wait_for(lambda: own.metric("enforcer_worker_restarts_total") == 2, "both restarts are counted")
