"""The metrics page as Prometheus and its tools read it."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.lan import Service, Unbound, free_port, question, total, wait_for
from tests.tools import need

DEVICES = "id,group,addresses\n" + "".join(
    f"dev-{number},field,127.0.{2 + number // 250}.{number % 250 + 1}\n" for number in range(1000)
)


def series(service: Service) -> set[str]:
    """The name and labels of every series, but for the one gauge that names devices."""
    lines = service.page().splitlines()
    return {
        line.rpartition(" ")[0]
        for line in lines
        if not line.startswith(("#", "enforcer_device_attempts{", "enforcer_spool_"))
    }


def test_promtool_finds_nothing_wrong_with_the_page(service: Service) -> None:
    service.dig("lint.blocked.test")
    service.recorded(1, name="lint.blocked.test")
    check = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=service.page(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout) == (0, "")


def test_the_openmetrics_page_has_the_newest_attempt_as_an_exemplar(service: Service) -> None:
    service.dig("exemplar.blocked.test")
    [record] = service.recorded(1, name="exemplar.blocked.test")
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.metrics_port}/metrics",
        headers={"accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=10) as page:
        text = page.read().decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert record["id"] in [exemplar.labels.get("attempt_id") for exemplar in exemplars]


def test_every_series_is_there_before_the_first_attempt(own: Service) -> None:
    own.start()
    before = series(own)
    labels = {"service": "chat", "layer": "dns", "action": "blocked"}
    assert own.metric("enforcer_attempts_total", **labels) == 0
    own.dig("first.blocked.test")
    own.dig("alias.test")
    own.dig("www.test", "+tcp")
    own.dig6("www.test", "TXT")
    own.recorded(2)
    assert series(own) == before
    assert own.metric("enforcer_attempts_total", **labels) == 2


def test_totals_are_exact_over_workers_and_a_killed_one_and_a_killed_hub(own: Service) -> None:
    own.change(**{"resolver.workers": 2})
    own.start()
    for round_ in range(3):
        for number in range(100):
            assert own.send(question(f"sum{number % 10}.blocked.test", number=number))[3] & 0xF == 3
        expected = 100 * (round_ + 1)
        wait_for(lambda: own.metric("enforcer_attempts_total") >= expected, "all are counted")  # noqa: B023 (at once)
        assert own.metric("enforcer_attempts_total", service="chat", layer="dns", action="blocked") == expected
        assert own.metric("enforcer_attempts_identified_total") == expected
        assert own.metric("enforcer_dns_responses_total", outcome="blocked", transport="udp") == expected
        assert own.metric("enforcer_dns_queries_total", qtype="a", family="4", transport="udp") == expected
        assert own.metric("enforcer_dns_response_duration_seconds_count", outcome="blocked") == expected
        if round_ < 2:
            name = ("dns-0", "hub")[round_]
            own.restarted(name, own.kill(name))
    assert own.metric("enforcer_worker_restarts_total", kind="dns") == 1
    assert total(own.recorded(300)) == 300


@pytest.mark.timeout(120)
def test_the_number_of_series_does_not_follow_the_number_of_devices(upstream: Unbound, tmp_path: Path) -> None:
    with Service(tmp_path / "own", upstream.url, devices=DEVICES) as service:
        service.change(
            **{
                "realms": [{"name": "office", "networks": ["127.0.0.0/16"], "listeners": ["dns4"]}],
                "resolver.listeners": service.config["resolver"]["listeners"][:1],
                "policy.exemptions": [],
                "metrics.devices": 20,
            }
        )
        service.start()
        addresses = [line.split(",")[2] for line in DEVICES.splitlines()[1:]]
        for address in addresses[:10]:
            service.send(question("few.blocked.test"), address)
        service.recorded(10, name="few.blocked.test")
        few = series(service)
        for address in addresses:
            service.send(question("many.blocked.test"), address)
        many = service.recorded(1000, name="many.blocked.test")
        assert len({line["device"] for line in many}) == 1000
        assert series(service) == few
        assert service.page().count("\nenforcer_device_attempts{") <= 21


def test_the_probe_sees_that_the_ban_is_in_force_and_leaves_no_trace(own: Service) -> None:
    own.change(**{"metrics.probe_s": 0.5})
    own.start()
    probed = {"transport": "udp", "service": "chat"}
    wait_for(lambda: own.metric("enforcer_probe_success", **probed) == 1, "the probe succeeds")
    assert time.time() - own.metric("enforcer_probe_last_success_timestamp_seconds", **probed) < 60
    assert own.metric("enforcer_probe_success", transport="tcp", service="chat") == 1
    for realm in ("office", "pausable"):
        own.enforcer("pause", "--realm", realm, "--minutes", "1", "--reason", "drill")
    wait_for(lambda: own.metric("enforcer_probe_success", **probed) == 0, "a pause fails the probe")
    assert own.metric("enforcer_attempts_total") == 0
    assert own.metric("enforcer_dns_responses_total", outcome="blocked", transport="udp") >= 1


def test_a_real_prometheus_scrapes_the_page(service: Service, tmp_path: Path) -> None:
    service.dig("scraped.blocked.test")
    service.recorded(1, name="scraped.blocked.test")
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(f"""\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: enforcer
    static_configs: [{{targets: ["127.0.0.1:{service.metrics_port}"]}}]
""")
    command = [
        need("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    query = 'enforcer_attempts_total{service="chat",layer="dns",action="blocked"}'

    def result() -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                found: list[Any] = json.load(page)["data"]["result"]
                return found
        except OSError:
            return []

    with subprocess.Popen(command) as prometheus:
        try:
            wait_for(lambda: _listens(port), "Prometheus listens")
            [found] = wait_for(result, "Prometheus has scraped")
            value = float(found["value"][1])
        finally:
            prometheus.terminate()
    assert 1 <= value <= service.metric("enforcer_attempts_total", service="chat", layer="dns", action="blocked")
    assert found["metric"]["job"] == "enforcer"


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_health_is_told(service: Service) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/healthz", timeout=5) as page:
        assert (page.status, page.read()) == (200, b"ok\n")
    assert service.metric("enforcer_worker_up", kind="dns") == 2
    assert abs(service.metric("enforcer_policy_loaded_timestamp_seconds") - time.time()) < 3600
