"""Real receivers of the record, each gone for a while and back: nothing lost, and nothing doubled but with its id."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.attempts.sinks.receivers import http_receiver
from tests.e2e.lan import Service, Unbound, wait_for
from tests.e2e.receivers import Kafka, Rsyslog
from tests.postgres import Postgres, postgres
from tests.processes.site import free_port
from tests.records import logged


class Site:
    """A service whose index is in PostgreSQL, with a sink of each kind, and what each receiver has got."""

    def __init__(self, folder: Path, upstream: Unbound, stack: ExitStack) -> None:
        self.rsyslog, self.kafka = Rsyslog(folder / "rsyslog"), Kafka()
        stack.callback(self.kafka.close)
        stack.callback(self.rsyslog.kill)
        self.postgres: Postgres = stack.enter_context(postgres())
        self.url = self.postgres.create("attempts")
        self.http_port = free_port()
        self.posted: list[str] = []
        self._http = stack.enter_context(ExitStack())
        own = self.rsyslog.authority.pair("gw", "gw.test")
        tls = {"ca": str(self.rsyslog.authority.pem), "certificate": str(own.certificate), "key": str(own.key)}
        common = {"retry_max_s": 0.5}
        self.broken = folder / "broken" / "ca.pem"
        self.broken.parent.mkdir()
        self.broken.write_text("no certificate")
        sinks = [
            {"type": "syslog", "name": "broken", "url": "tls://localhost:1", "ca": str(self.broken), **common},
            {"type": "syslog", "url": f"tls://localhost:{self.rsyslog.port}", **tls, **common},
            {"type": "kafka", "brokers": self.kafka.brokers, "topic": "attempts", **common},
            {"type": "http", "url": f"http://127.0.0.1:{self.http_port}/in", **common},
            {"type": "file", "path": str(folder / "shipped" / "attempts.ndjson"), "format": "ecs", **common},
        ]
        self.file = folder / "shipped" / "attempts.ndjson"
        self.service = stack.enter_context(Service(folder / "own", upstream.url))
        self.service.change(**{"attempts.sinks": sinks, "attempts.index": self.url, "attempts.aggregate_s": 0})

    def come(self) -> None:
        """All receivers are there."""
        self.rsyslog.start()
        self.kafka.release()
        self._http.enter_context(http_receiver(self._take, self.http_port))

    def go(self) -> None:
        """All receivers are gone, and PostgreSQL with them."""
        self.rsyslog.kill()
        self.kafka.hold()
        self._http.close()
        self.postgres.stop()

    def block(self, *names: str) -> None:
        for name in names:
            assert self.service.dig(name).status == "NXDOMAIN"

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        self.posted += body.decode().splitlines()
        return 200, {}

    def ids(self) -> list[str]:
        """Of every line of the log."""
        return [str(line["id"]) for line in logged(self.service.data / "log")]

    def indexed(self) -> int:
        with psycopg.connect(self.url) as db:
            row = db.execute("SELECT coalesce(sum(count), 0)::bigint FROM enforcer.attempts").fetchone()
        return 0 if row is None else int(row[0])


@pytest.fixture
def site(tmp_path: Path, upstream: Unbound) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, upstream, stack)


def names(kind: str, count: int) -> list[str]:
    return [f"{kind}{number}.chat.blocked.test" for number in range(count)]


def ids_of(lines: list[str]) -> list[str]:
    return [json.loads(line)["id"] for line in lines]


def test_receivers_that_go_away_and_come_back_miss_nothing(site: Site) -> None:
    site.come()
    assert f"warning: attempts.sinks[0] (broken): {site.broken}: cannot" in site.service.enforcer("config", "check")
    site.service.start()
    site.block(*names("before", 5))
    wait_for(lambda: set(site.ids()) <= set(ids_of(site.posted)), "the collector has all")
    wait_for(lambda: len(site.rsyslog.messages) >= len(site.ids()), "rsyslog has all")
    site.go()
    site.block(*names("away", 20))
    site.service.restarted("sinks-0", site.service.kill("sinks-0"))
    status = wait_for(lambda: _with(site.service.enforcer("status"), "sink http: "), "the status says who is away")
    assert "sink file" not in status
    broken = f"sink broken: {site.broken}: cannot be used for TLS"
    wait_for(lambda: _with(site.service.enforcer("status", "--json"), broken), "and who could not even be made")
    site.postgres.start()
    site.come()
    site.block(*names("after", 5))
    everything = set(site.ids())
    wait_for(lambda: everything <= set(ids_of(site.posted)), "the collector has all again")
    wait_for(lambda: everything <= set(ids_of(site.rsyslog.messages)), "rsyslog has all again")
    wait_for(lambda: site.indexed() == 30, "PostgreSQL has every attempt once")
    consumed = site.kafka.consumed("attempts")
    produced = ids_of([value for _, value in consumed])
    assert everything <= set(produced)
    assert {key for key, value in consumed if '"type":"attempt"' in value} == {"phone"}
    shipped = [json.loads(line)["event"]["id"] for line in site.file.read_text().splitlines()]
    assert everything <= set(shipped)
    for got in (ids_of(site.posted), ids_of(site.rsyslog.messages), produced, shipped):
        assert max(Counter(got).values()) <= 3, "sent again a few times, not for ever"
    assert site.service.stop() == 0


def _with(text: str, part: str) -> str | None:
    return text if part in text else None
