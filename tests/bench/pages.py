"""How long the console's pages take with many records behind them: the whole way, from a request to its last octet.

Records, databases and their environment variables are those of `index.py`; the budget of a page is 200 ms.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from enforcer.attempts.index import Index
from tests.bench.index import DAY_MS, DAYS, RECORDS, WANTED, filled
from tests.bench.tables import ms, print_table
from tests.console.lab import HOST, make_lab, settings
from tests.records import NOON_MS, moment

PAGES = {
    "overview, 7 days": "/?since=7d",
    "overview, 90 days": "/?since=90d",
    "attempts, newest": "/attempts",
    "attempts, all of a service and a layer": "/attempts?since=all&service=kaspersky&layer=quic",
    "attempts of a name and all below": "/attempts?since=90d&name=r5.test",
    "attempts of an address": "/attempts?since=all&client_ip=10.20.1.7",
    "attempts, four filters": "/attempts?since=all&service=bypass&layer=quic&part=media&group=group-7",
    "incidents to be reviewed": "/incidents?since=30d&state=open,escalated",
    "incident": "/incidents/device/dev-77/wechat",
    "device": "/devices/dev-77",
    "policy": "/policy",
    "health": "/health",
    "journal": "/journal",
    "API: 100 attempts": "/api/v1/attempts?since=90d",
    "API: counts by group": "/api/v1/stats?by=group",
}


def main() -> None:
    """Both databases, one after the other."""
    columns: dict[str, list[str]] = {f"{page}, ms": [] for page in PAGES}
    for database in WANTED:
        with (
            filled(database) as (reader, _, _),
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            _console(Path(folder), reader) as client,
        ):
            for page, path in PAGES.items():
                columns[f"{page}, ms"].append(ms(_timed(client, path)))
    print_table((f"pages with {RECORDS:,} records", *WANTED), [(key, *values) for key, values in columns.items()])


@contextmanager
def _console(folder: Path, index: Index) -> Iterator[TestClient]:
    """A console on that index, at the end of its year."""
    own = folder / "console"
    own.mkdir()
    lab = make_lab(own, settings())

    @contextmanager
    def open_index() -> Iterator[Index]:
        yield index

    lab.now[0] = moment(NOON_MS + DAYS * DAY_MS)
    lab.app.state.site = replace(lab.site, index=open_index)
    with TestClient(lab.app, base_url=f"https://{HOST}", client=("127.0.0.1", 50_000)) as client:
        yield client


def _timed(client: TestClient, path: str) -> float:
    """The median of five, after one that warms the cache."""
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        answer = client.get(path)
        times.append(time.perf_counter() - begin)
        assert answer.status_code == 200, path
    return statistics.median(times[1:])
