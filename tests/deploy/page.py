"""What the tests of dashboards and documents need: the metrics that there are, and a look at expressions over them."""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from enforcer.counters import Counters, read_counters
from enforcer.hub.metrics import Page, PolicyFacts, Snapshot
from tests.tools import need


@cache
def labels_of_metrics() -> Mapping[str, Set[str]]:
    """The labels of every series of a hub's metrics page, by its name."""
    with TemporaryDirectory() as folder:
        counters = Path(folder) / "dns-0"
        Counters(counters).close()
        words = read_counters(counters)
    assert words is not None
    snapshot = Snapshot(
        version="1",
        now_ms=0,
        policy=PolicyFacts("ban", "0123", "enforce", 0, ("chat",), {("chat", "suffix"): 1}, {("chat", "active"): 1}),
        loads={},
        workers={"dns-0": words},
        upstreams=("udp://192.0.2.53",),
        restarts={},
        spool={"dns-0": (1, 1.0)},
        attempts={},
        newest={},
        identified={},
        devices=1,
        devices_attempting={},
        device_attempts={("dev-1", "chat"): 1},
        log_sequence=1,
        log_writable=True,
        index_lag=0,
        certificates={"roam": 1.0},
    )
    found: dict[str, set[str]] = defaultdict(set)
    for metric in Page(lambda: snapshot).collect():
        for sample in metric.samples:
            found[sample.name] |= sample.labels.keys()
    return found


def see_that_prometheus_reads(expressions: Iterable[str], folder: Path) -> None:
    """Let promtool read them as recording rules."""
    rules = [{"record": f"expression:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    command = [need("promtool"), "check", "rules", str(folder / "rules.yml")]
    check = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert check.returncode == 0, check.stdout
    assert f"{len(rules)} rules found" in check.stdout
