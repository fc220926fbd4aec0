"""What the tests of dashboards and documents need: the metrics that there are, and a look at expressions over them."""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from prometheus_client import Metric

from enforcer.counters import Counters, read_counters
from enforcer.hub.metrics import Page, PolicyFacts, Snapshot
from enforcer.processes.hub import parts_of
from tests.identity.gateway import Bench
from tests.processes.site import free_port
from tests.tools import need

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "info": ("_info",), "histogram": ("_bucket", "_count", "_sum")}


@cache
def labels_of_metrics() -> Mapping[str, Set[str]]:
    """The labels of every series of a hub's metrics page, by its name; parts have theirs before they have a value."""
    found: dict[str, set[str]] = defaultdict(set)
    for metric in families():
        for name in names_of(metric):
            found[name] |= set(getattr(metric, "_labelnames", ()))
        for sample in metric.samples:
            found[sample.name] |= sample.labels.keys()
    return found


def names_of(family: Metric) -> Set[str]:
    """The names of a family's series."""
    return {family.name + suffix for suffix in _SUFFIXES[family.type]}


@cache
def families() -> tuple[Metric, ...]:
    """Every family of a hub's metrics page, in the order of their names."""
    with TemporaryDirectory() as folder:
        found = (*Page(lambda: _snapshot(Path(folder))).collect(), *_of_parts(Path(folder)))
        return tuple(sorted(found, key=lambda family: family.name))


def reference() -> Iterable[str]:
    """The rows of the table of all metrics: name, type, labels, meaning."""
    for family in families():
        name = family.name + _SUFFIXES[family.type][0] if family.type in ("counter", "info") else family.name
        labels = sorted(labels_of_metrics()[family.name + _SUFFIXES[family.type][-1]] - {"le"})
        listed = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{name}` | {family.type} | {listed} | {family.documentation.rstrip('.')} |"


def _of_parts(folder: Path) -> list[Metric]:
    """Of a hub that has every source of identity."""
    client = {"network": "127.0.0.1", "secret_file": str(folder / "secret")}
    radius = {"realm": "lab", "listen": f"127.0.0.1:{free_port()}", "clients": [client]}
    leases = {"realm": "lab", "format": "dnsmasq", "path": str(folder / "leases")}
    bench = Bench(folder, {"radius": [radius], "leases": [leases], "shared": "redis://127.0.0.1:1"})
    parts = parts_of(bench.means)
    found = [metric for part in parts for metric in part.metrics()]
    for part in reversed(parts):
        part.close()
    bench.desk.log.close()
    return found


def _snapshot(folder: Path) -> Snapshot:
    counters = folder / "dns-0"
    Counters(counters).close()
    words = read_counters(counters)
    assert words is not None
    return Snapshot(
        version="1",
        revision="0",
        now_ms=0,
        policy=PolicyFacts(
            "ban", "0123", "enforce", 0, ("chat",), {("chat", "suffix"): 1}, {("chat", "active"): 1}, {"lab": False}
        ),
        loads={},
        workers={"dns-0": words},
        upstreams=("udp://192.0.2.53",),
        restarts={},
        up={},
        spool={"dns-0": (1, 1.0)},
        spool_max=2,
        attempts={},
        newest={},
        identified={},
        devices={"inventory": 1},
        devices_attempting={},
        device_attempts={("dev-1", "chat"): 1},
        log_sequence=1,
        log_writable=True,
        index_lag=0,
        certificates={"roam": 1.0},
    )


def see_that_prometheus_reads(expressions: Iterable[str], folder: Path) -> None:
    """Let promtool read them as recording rules."""
    rules = [{"record": f"expression:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    command = [need("promtool"), "check", "rules", str(folder / "rules.yml")]
    check = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert check.returncode == 0, check.stdout
    assert f"{len(rules)} rules found" in check.stdout
