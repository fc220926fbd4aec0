import asyncio
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from enforcer.counters import DNS_BUCKETS, LAYOUT, UPSTREAMS_MAX, Counters, observe, read_counters, word
from enforcer.hub.metrics import PolicyFacts, Snapshot, metrics_app
from tests.records import NOON_MS
from tests.tools import need

IDLE = Snapshot(
    version="0.1.0",
    revision="0123456789ab",
    now_ms=NOON_MS,
    policy=None,
    loads={},
    workers={},
    upstreams=("udp://192.0.2.53",),
    restarts={},
    up={},
    spool={},
    spool_max=2_000_000_000,
    attempts={},
    newest={},
    identified={},
    devices={"inventory": 0},
    devices_attempting={},
    device_attempts=None,
    log_sequence=0,
    log_writable=True,
    index_lag=0,
    certificates={},
)
POLICY = PolicyFacts(
    ban="ban-1",
    ruleset="0123456789ab",
    mode="enforce",
    loaded_ms=NOON_MS,
    services=("chat", "scan"),
    rules={("chat", "suffix"): 12},
    exemptions={("scan", "active"): 1},
    paused={"office": False, "roam": True},
)
BLOCKED = ("chat", "dns", "blocked")


def get(snapshot: Snapshot, path: str = "/metrics", health: str | None = None, accept: str = "*/*") -> httpx.Response:
    app = metrics_app(lambda: snapshot, lambda: health)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            return await client.get(path, headers={"accept": accept})

    return asyncio.run(ask())


def series(snapshot: Snapshot) -> dict[str, float]:
    """Every series of the page with its value."""
    lines = (line for line in get(snapshot).text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def worker(folder: Path, name: str, count: Callable[[memoryview], None] = lambda _: None) -> tuple[int, ...]:
    """The words of a worker that is alive."""
    counters = Counters(folder / name)
    counters.words[word("worker_heartbeat_milliseconds")] = NOON_MS
    count(counters.words)
    counters.close()
    words = read_counters(folder / name)
    assert words is not None
    return words


def loaded(folder: Path, devices: int = 3) -> Snapshot:
    """A hub that has seen everything once."""

    def everything(words: memoryview) -> None:
        for at in range(4, len(words)):
            words[at] = 1
        words[word("worker_heartbeat_milliseconds")] = NOON_MS

    return replace(
        IDLE,
        policy=POLICY,
        loads={"ok": 2, "invalid": 1},
        workers={"dns-0": worker(folder, "dns-0", everything), "dns-1": worker(folder, "dns-1", everything)},
        upstreams=("udp://192.0.2.53", "udp://[2001:db8::53]:5353"),
        restarts={"dns": 3},
        up={"sinks": 1, "dns": 1},
        spool={"dns-0": (4096, 1.5)},
        attempts={BLOCKED: 40 + devices},
        newest={BLOCKED: ("01JDCG5Z00T1V2W3X4Y5Z6A7B8", NOON_MS)},
        identified={"radius": 40, "unknown": devices},
        devices={"inventory": devices, "connected_24h": 1, "silent": 0},
        devices_attempting={("chat", "1h"): 1, ("chat", "24h"): devices},
        device_attempts={("dev-1", "chat"): 9, ("other", "chat"): 31},
        log_sequence=99,
        index_lag=4,
    )


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "loaded"])
def test_promtool_finds_nothing_to_say(tmp_path: Path, busy: bool) -> None:
    page = get(loaded(tmp_path) if busy else IDLE).content
    check = subprocess.run([need("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_every_family_has_the_prefix_and_a_help_text(tmp_path: Path) -> None:
    lines = get(loaded(tmp_path)).text.splitlines()
    helps = [line for line in lines if line.startswith("# HELP ")]
    assert all(re.match(r"# HELP enforcer_[a-z0-9_]+ \S", line) for line in helps)
    assert not [line for line in lines if "_created" in line]


def test_every_counted_family_is_on_the_page_and_the_workers_own_are_not(tmp_path: Path) -> None:
    page = get(loaded(tmp_path)).text
    for family in LAYOUT:
        assert (f"# TYPE enforcer_{family.name}" in page) != family.name.startswith("worker_")
    assert "enforcer_worker_up" in page


def test_every_series_is_there_before_its_first_event(tmp_path: Path) -> None:
    page = series(replace(IDLE, policy=POLICY))
    assert page['enforcer_attempts_total{action="observed",layer="quic",service="scan"}'] == 0
    assert page['enforcer_attempts_identified_total{source="certificate"}'] == 0
    assert page['enforcer_devices_attempting{service="scan",window="24h"}'] == 0
    assert page['enforcer_policy_rules{kind="regex",service="chat"}'] == 0
    assert page['enforcer_policy_loads_total{result="invalid"}'] == 0
    assert page['enforcer_dns_queries_total{family="6",qtype="svcb",transport="tcp"}'] == 0
    assert page['enforcer_attempts_dropped_total{reason="disk_full"}'] == 0
    assert page['enforcer_worker_restarts_total{kind="hub"}'] == 0
    assert page['enforcer_dns_response_duration_seconds_bucket{le="+Inf",outcome="blocked"}'] == 0


def test_the_page_says_what_the_snapshot_says(tmp_path: Path) -> None:
    page = series(loaded(tmp_path))
    assert page['enforcer_policy_info{ban="ban-1",mode="enforce",ruleset="0123456789ab"}'] == 1
    assert page['enforcer_policy_rules{kind="suffix",service="chat"}'] == 12
    assert page['enforcer_policy_exemptions{service="scan",state="active"}'] == 1
    assert page['enforcer_realm_paused{realm="office"}'] == 0
    assert page['enforcer_realm_paused{realm="roam"}'] == 1
    assert page['enforcer_worker_up{kind="sinks"}'] == 1
    assert page['enforcer_worker_up{kind="console"}'] == 0
    assert page["enforcer_policy_loaded_timestamp_seconds"] == NOON_MS / 1000
    assert page['enforcer_policy_loads_total{result="ok"}'] == 2
    assert page['enforcer_attempts_total{action="blocked",layer="dns",service="chat"}'] == 43
    assert page['enforcer_device_attempts{device="other",service="chat"}'] == 31
    assert page['enforcer_devices{state="inventory"}'] == 3
    assert page['enforcer_spool_bytes{worker="dns-0"}'] == 4096
    assert page["enforcer_spool_capacity_bytes"] == 2e9
    assert page['enforcer_spool_oldest_seconds{worker="dns-0"}'] == 1.5
    assert (page["enforcer_log_sequence"], page["enforcer_index_lag_records"]) == (99, 4)
    assert page['enforcer_worker_restarts_total{kind="dns"}'] == 3


def test_counts_are_added_up_over_workers_the_dead_ones_too(tmp_path: Path) -> None:
    queries = word("dns_queries", "udp", "4", "a")

    def dead(words: memoryview) -> None:
        words[queries] = 5
        words[word("cache_entries")] = 100
        words[word("worker_heartbeat_milliseconds")] = NOON_MS - 60_000

    def living(words: memoryview) -> None:
        words[queries] = 7
        words[word("cache_entries")] = 30

    page = series(
        replace(IDLE, workers={"dns-0": worker(tmp_path, "dns-0", dead), "dns-1": worker(tmp_path, "dns-1", living)})
    )
    assert page['enforcer_dns_queries_total{family="4",qtype="a",transport="udp"}'] == 12
    assert page["enforcer_cache_entries"] == 30, "a level is that of those who live"
    assert page['enforcer_worker_up{kind="dns"}'] == 1
    assert page['enforcer_worker_up{kind="hub"}'] == 1


def test_upstreams_have_their_configured_names_and_unused_numbers_are_left_out(tmp_path: Path) -> None:
    def count(words: memoryview) -> None:
        for number in range(UPSTREAMS_MAX):
            words[word("upstream_queries", str(number))] = number + 1
            words[word("upstream_up", str(number))] = 1

    workers = {name: worker(tmp_path, name, count) for name in ("dns-0", "dns-1")}
    page = series(replace(IDLE, workers=workers))
    found = {name: value for name, value in page.items() if name.startswith("enforcer_upstream_queries")}
    assert found == {'enforcer_upstream_queries_total{upstream="udp://192.0.2.53"}': 2}
    assert page['enforcer_upstream_up{upstream="udp://192.0.2.53"}'] == 1, "up is up, however many workers say so"


def test_histograms_are_cumulative(tmp_path: Path) -> None:
    def count(words: memoryview) -> None:
        for seconds in (0.00004, 0.0004, 0.04, 9.0):
            observe(words, word("dns_response_duration_seconds", "blocked"), DNS_BUCKETS, seconds)

    page = series(replace(IDLE, workers={"dns-0": worker(tmp_path, "dns-0", count)}))
    name = "enforcer_dns_response_duration_seconds"
    assert page[f'{name}_bucket{{le="5e-05",outcome="blocked"}}'] == 1
    assert page[f'{name}_bucket{{le="0.0005",outcome="blocked"}}'] == 2
    assert page[f'{name}_bucket{{le="5.0",outcome="blocked"}}'] == 3
    assert page[f'{name}_bucket{{le="+Inf",outcome="blocked"}}'] == 4
    assert page[f'{name}_count{{outcome="blocked"}}'] == 4
    assert page[f'{name}_sum{{outcome="blocked"}}'] == pytest.approx(9.04044)


def test_the_number_of_series_does_not_follow_the_number_of_devices(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    assert len(series(loaded(tmp_path / "few", 10))) == len(series(loaded(tmp_path / "many", 10_000)))


def test_before_the_notice_no_metric_names_a_device(tmp_path: Path) -> None:
    assert "dev-1" not in get(replace(loaded(tmp_path), device_attempts=None)).text


def test_openmetrics_has_the_newest_attempts_id_beside_its_count(tmp_path: Path) -> None:
    answer = get(loaded(tmp_path), accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    (line,) = (line for line in answer.text.splitlines() if "attempt_id" in line)
    name = 'enforcer_attempts_total{action="blocked",layer="dns",service="chat"} 43'
    assert line.startswith(name)
    assert '# {attempt_id="01JDCG5Z00T1V2W3X4Y5Z6A7B8"} 1.0' in line
    assert answer.text.endswith("# EOF\n")


def test_the_text_format_is_what_others_get() -> None:
    assert get(IDLE).headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize(
    ("health", "status", "text"), [(None, 200, "ok\n"), ("the disk is full", 503, "the disk is full\n")]
)
def test_health_is_whether_attempts_are_recorded(health: str | None, status: int, text: str) -> None:
    answer = get(IDLE, "/healthz", health)
    assert (answer.status_code, answer.text) == (status, text)


def test_there_are_no_other_pages() -> None:
    assert get(IDLE, "/").status_code == 404


def test_t7_the_end_of_each_certificate_is_a_series() -> None:
    found = series(replace(IDLE, certificates={"roam": 1.8e9, "broken": 0.0}))
    assert found['enforcer_certificate_expiry_timestamp_seconds{listener="roam"}'] == 1.8e9
    assert found['enforcer_certificate_expiry_timestamp_seconds{listener="broken"}'] == 0
