"""kill -9 of each process at random points under load: no blocked attempt is lost, and none is counted twice."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.resolver.mmsg import BATCH
from tests.e2e.lan import Load, Service, assert_whole, dnsperf, question, total, wait_for
from tests.tools import need, need_root

NAMES = [f"n{number}.blocked.test A" for number in range(400)]
LOAD = ("-Q", "2500", "-c", "16", "-q", "200", "-t", "1")


@pytest.fixture
def pair(own: Service) -> Service:
    """With two workers."""
    own.change(**{"resolver.workers": 2})
    return own


@pytest.fixture
def small_disk(own: Service) -> Iterator[None]:
    """Puts the data of the test's service on a small file system, in a mount namespace that ends with the test."""
    need_root()
    own.data.mkdir()
    script = 'mount -t tmpfs -o size=64m tmpfs "$0" && echo mounted && exec cat'
    with subprocess.Popen(
        [need("unshare"), "--mount", "sh", "-c", script, own.data], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        own.inside = (need("nsenter"), "--target", str(holder.pid), "--mount", "--")
        own.data = Path(f"/proc/{holder.pid}/root{own.data}")
        yield
        own.close()


def kept(service: Service) -> list[Path]:
    """The segments that are not emptied or deleted."""
    return [path for path in (service.data / "spool").glob("*/*.segment") if path.stat().st_size]


def assert_exact(service: Service, load: Load, killed_workers: int) -> None:
    """Every answer that a client got is counted, every counted answer is in the log, once.

    A worker that is killed in mid-batch has written attempts down whose answers never left, and were not counted.
    """
    wait_for(lambda: len(kept(service)) <= 2, "what is logged is deleted, but for what the two workers write")
    assert service.stop() == 0
    blocked = service.counted("dns_responses", outcome="blocked")
    recorded = total(service.attempts())
    assert load.answered("NXDOMAIN") <= blocked
    assert blocked <= recorded <= blocked + killed_workers * BATCH
    assert service.counted("attempts_dropped") == 0
    assert service.events("loss") == service.events("gap") == []
    assert_whole(service)


@pytest.mark.timeout(120)
def test_nothing_is_lost_and_nothing_counted_twice_when_workers_and_hub_are_killed(pair: Service) -> None:
    chance = random.Random()
    pair.start()
    workers = 0
    with dnsperf(pair, NAMES, "-l", "90", *LOAD) as load:
        for round_ in range(5):
            time.sleep(chance.uniform(0.2, 1.2))
            name = chance.choice(["hub", "dns-0", "dns-1"]) if round_ > 2 else ["hub", "dns-0", "dns-1"][round_]
            workers += name != "hub"
            pair.restarted(name, pair.kill(name))
        result = load(now=True)
    assert result.answered("NXDOMAIN") > 5000
    assert result.answered("NOERROR") == 0
    assert_exact(pair, result, workers)


@pytest.mark.timeout(120)
def test_a_killed_hub_costs_no_query_and_its_counts_are_exact(pair: Service) -> None:
    chance = random.Random()
    pair.start()
    with dnsperf(pair, NAMES, "-l", "90", *LOAD) as load:
        for _ in range(3):
            time.sleep(chance.uniform(0.0, 0.6))
            pair.restarted("hub", pair.kill("hub"))
        result = load(now=True)
    assert result.lost == 0
    for name, labels in (("attempts", {"action": "blocked"}), ("dns_responses", {"outcome": "blocked"})):
        wait_for(lambda: pair.metric(f"enforcer_{name}_total", **labels) >= result.sent, name)  # noqa: B023 (at once)
        assert pair.metric(f"enforcer_{name}_total", **labels) == result.sent
    assert_exact(pair, result, 0)


@pytest.mark.timeout(120)
def test_a_killed_supervisor_takes_its_children_along_and_the_next_one_goes_on(pair: Service) -> None:
    chance = random.Random()
    pair.start()
    workers = 0
    answered = 0
    for _ in range(2):
        with dnsperf(pair, NAMES, "-l", "2", *LOAD) as load:
            time.sleep(chance.uniform(0.3, 1.5))
            pair.kill("run")
            workers += 2
            wait_for(lambda: not pair.pids(), "the children have ended")
            answered += load().answered("NXDOMAIN")
        pair.start()
    with dnsperf(pair, NAMES, "-l", "1", *LOAD) as load:
        result = load()
    assert result.lost == 0
    blocked = pair.metric("enforcer_dns_responses_total", outcome="blocked")
    assert blocked >= answered + result.answered("NXDOMAIN")
    assert_exact(pair, result, workers)


@pytest.mark.timeout(120)
def test_everything_killed_at_once_loses_nothing(pair: Service) -> None:
    pair.start()
    with dnsperf(pair, NAMES, "-l", "3", *LOAD) as load:
        time.sleep(1.2)
        pids = pair.pids()
        for name in ("run", "hub", "dns-0", "dns-1"):
            if name != "run":
                os.kill(pids[name], signal.SIGKILL)
            else:
                pair.kill("run")
        result = load()
    wait_for(lambda: not pair.pids(), "nothing runs")
    pair.start()
    assert_exact(pair, result, 2)


def test_without_a_hub_names_are_blocked_and_recorded_when_one_is_back(own: Service) -> None:
    hub = own.spawn("hub")
    own.spawn("dns", "--worker", "0")
    own.dig("before.blocked.test")
    own.recorded(1, name="before.blocked.test")
    hub.kill()
    hub.wait()
    for number in range(50):
        assert own.send(question(f"meanwhile{number % 5}.blocked.test"))[3] & 0xF == 3
    assert own.dig("meanwhile.ok.test").data == ["192.0.2.20"]
    assert "The hub does not answer" in own.enforcer("status", status=1)
    assert own.attempts(name="meanwhile0.blocked.test") == []
    own.spawn("hub")
    for number in range(5):
        assert total(own.recorded(10, name=f"meanwhile{number}.blocked.test", device="phone")) == 10
    assert_whole(own)


def test_a_worker_that_starts_without_a_hub_enforces_what_was_in_force(own: Service) -> None:
    hub = own.spawn("hub")
    hub.terminate()
    assert hub.wait() == 0
    own.spawn("dns", "--worker", "0")
    assert own.dig("alone.blocked.test").ede == "15 (Blocked)"
    own.spawn("hub")
    own.recorded(1, name="alone.blocked.test")


def test_a_second_hub_on_the_same_data_says_so_and_ends(service: Service) -> None:
    text = service.enforcer("hub", status=1)
    assert "another hub (process " in text
    assert "uses this data_dir" in text
    service.dig("still.blocked.test")
    service.recorded(1, name="still.blocked.test")


@pytest.mark.timeout(120)
def test_a_full_spool_blocks_on_and_counts_what_it_drops(own: Service) -> None:
    own.change(**{"attempts.spool_max": "6MB"})  # one segment, of 16,384 rows
    own.start()
    own.dig("start.blocked.test")
    own.recorded(1, name="start.blocked.test")
    own.kill("hub", signal.SIGSTOP)
    names = [f"d{number}.blocked.test A" for number in range(18_000)]
    with dnsperf(own, names, "-n", "1", "-q", "50") as load:
        result = load()
    assert result.answered("NXDOMAIN") == result.sent == 18_000
    dropped = own.counted("attempts_dropped", reason="spool_full")
    assert dropped == 18_001 - 16_384
    own.kill("hub", signal.SIGCONT)
    own.recorded(18_001 - dropped)
    assert total(own.attempts()) == 18_001 - dropped
    wait_for(lambda: sum(loss["count"] for loss in own.events("loss")) == dropped, "the loss is in the chain")
    assert own.metric("enforcer_attempts_dropped_total", reason="spool_full") == dropped

    def kept_again() -> bool:
        own.dig("afterwards.blocked.test")
        return bool(own.attempts(name="afterwards.blocked.test"))

    wait_for(kept_again, "new attempts are kept again")
    assert_whole(own)


@pytest.mark.timeout(120)
def test_a_full_disk_stops_records_and_not_blocks_and_says_so(own: Service, small_disk: None) -> None:
    own.start()
    own.dig("start.blocked.test")
    own.recorded(1, name="start.blocked.test")
    with (own.data / "filler").open("wb", buffering=0) as filler:
        while True:
            try:
                filler.write(bytes(4096))
            except OSError:
                break
    names = [f"d{number}.blocked.test A" for number in range(18_000)]
    with dnsperf(own, names, "-n", "1", "-q", "50") as load:
        result = load()
    assert result.answered("NXDOMAIN") == result.sent == 18_000
    assert own.dig("www.test").data == ["192.0.2.10"]
    assert own.metric("enforcer_log_writable") == 0
    assert "the record cannot be written" in own.enforcer("status")
    wait_for(lambda: own.metric("enforcer_log_checkpoints_total", result="failed"), "the log cannot be signed")
    assert "the log cannot be signed: No space left on device" in own.enforcer("status")
    assert own.metric("enforcer_dns_responses_total", outcome="blocked") == 18_001
    (own.data / "filler").unlink()
    wait_for(lambda: own.metric("enforcer_log_writable") == 1, "the log can be written")
    wait_for(lambda: own.events("loss"), "the loss is in the chain")
    dropped = int(own.metric("enforcer_attempts_dropped_total"))
    assert dropped > 0
    own.recorded(18_001 - dropped)
    own.dig("room.blocked.test")
    own.recorded(1, name="room.blocked.test")
    assert total(own.attempts()) + sum(loss["count"] for loss in own.events("loss")) == 18_002
    assert {loss["reason"] for loss in own.events("loss")} == {"disk_full"}
    assert_whole(own)
