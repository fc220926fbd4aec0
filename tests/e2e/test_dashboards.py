"""Every query of the dashboards and every rule, asked of a real Prometheus that has scraped a loaded node."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.deploy.test_grafana import EXPRESSIONS
from tests.deploy.test_prometheus import RECORDED
from tests.e2e.lan import Service, free_port, question, wait_for
from tests.e2e.test_identity import SECRET, Pgw
from tests.tools import need

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
LOAD_S = 8.0
OF_CONNECTIONS = {"instance:enforcer_proxy_failed:ratio5m"}  # a share of none is none, and here is no proxy
VARIABLES = {"$__rate_interval": "30s", "$__range": "1m", "$instance": ".*", "$service": ".*"}


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Prometheus with our rules, which scrapes and reckons each second; the address of its interface."""
    port = free_port()
    for name in ("recording.yml", "alerts.yml"):
        shutil.copy(RULES / name, folder)
    (folder / "prometheus.yml").write_text(f"""\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: enforcer
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
""")
    rules = (folder / "recording.yml").read_text()
    (folder / "recording.yml").write_text(rules.replace("interval: 5m", "interval: 1s"))
    command = [need("prometheus"), f"--config.file={folder / 'prometheus.yml'}", "--log.level=error"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command) as process:
        try:
            wait_for(lambda: _listens(port), "Prometheus listens")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def result(url: str, expr: str) -> list[object]:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}", timeout=10) as page:
        found: list[object] = json.load(page)["data"]["result"]
        return found


def load(service: Service, seconds: float) -> None:
    """Questions of every kind, over some seconds."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        service.send(question(f"load{number % 3}.blocked.test", number=number))
        service.send(question("www.test", number=number))
        service.send(question(f"h{number}.www.test", number=number))
        time.sleep(0.05)
    service.dig("www.test", "+tcp")


def identity(folder: Path) -> dict[str, object]:
    """Every kind of source that has metrics of its own; the Redis is away, which is a figure too."""
    (folder / "radius.secret").write_text(SECRET)
    (folder / "dnsmasq.leases").touch()
    client = {"network": "127.0.0.1", "secret_file": "radius.secret"}
    return {
        "radius": [{"realm": "office", "listen": f"127.0.0.1:{free_port()}", "clients": [client]}],
        "leases": [{"realm": "office", "format": "dnsmasq", "path": "dnsmasq.leases"}],
        "shared": f"redis://127.0.0.1:{free_port()}",
        "wait_s": 0,
    }


@pytest.mark.timeout(120)
def test_every_query_and_every_rule_returns_data(own: Service, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    sink = {"type": "file", "name": "copy", "path": str(folder / "copy.ndjson")}
    pair = Authority(tmp_path).pair("dns", "dns.test")
    dot = {"name": "dot", "tls": f"127.0.0.1:{free_port()}", "certificate": str(pair.certificate), "key": str(pair.key)}
    listeners = [*own.config["resolver"]["listeners"], dot]
    realms = [{**own.config["realms"][0], "listeners": ["dns4", "dns6", "dot"]}, *own.config["realms"][1:]]
    own.change(
        **{"metrics.probe_s": 1, "attempts.sinks": [sink], "resolver.listeners": listeners, "realms": realms},
    )
    own.change(**{f"identity.{key}": value for key, value in identity(own.folder).items()})
    own.start()
    for number in range(10):
        own.send(question(f"load{number % 3}.blocked.test", number=number))
    own.recorded(10)
    own.restarted("hub", own.kill("hub"))  # which counts devices at its start, and then each minute
    port = own.config["identity"]["radius"][0]["listen"].rpartition(":")[2]
    assert Pgw(int(port)).tell("Start", "foreign", "127.0.0.21")
    with prometheus(folder, own.metrics_port) as url:
        load(own, LOAD_S)
        own.enforcer("reload")  # an annotation
        load(own, 3.0)
        wait_for(lambda: result(url, "enforcer_sink_records_total > 0"), "the sink is seen")
        wait_for(lambda: result(url, "enforcer_device_attempts > 0"), "the devices are counted")
        missing = [expr for expr in EXPRESSIONS if not result(url, expr)]
        unreckoned = [name for name in sorted(RECORDED - OF_CONNECTIONS) if not result(url, name)]
    assert missing == []
    assert unreckoned == []


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
