import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enforcer.attempts.log import DayLog
from enforcer.attempts.sinks.cursor import cursors
from enforcer.attempts.sinks.gelf import GelfSink
from enforcer.attempts.sinks.http import HttpSink
from enforcer.attempts.sinks.kafka import KafkaSink
from enforcer.attempts.sinks.status import read_status
from enforcer.attempts.sinks.syslog import SyslogSink
from enforcer.config.sinks import Sink
from enforcer.errors import Unavailable
from enforcer.orders import Orders
from enforcer.processes.sinks import Sinks, kafka_settings, receiver_of, unfit
from tests.attempts.index.site import attempt
from tests.processes.site import Site, until_logged
from tests.records import NOON_MS, moment

ORDERS = Orders(generation=1, policy="0" * 64, pauses=(), grants=())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.more = {"attempts": {"sinks": [{"type": "file", "name": "a", "path": "a.ndjson"}]}}
    return site


def log(site: Site, *numbers: int) -> None:
    log = DayLog(site.folders.log)
    log.append([attempt(number) for number in numbers], moment(NOON_MS))
    log.close()


def play(site: Site, scene: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        ready = asyncio.Event()
        process = asyncio.create_task(Sinks(site.config).run(ready.set))
        await ready.wait()
        try:
            await scene()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await process

    asyncio.run(play())


async def until_lines(path: Path, count: int) -> None:
    def there() -> bool:
        return path.exists() and path.read_text().count("\n") >= count

    for _ in range(1000):
        if there():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{path} never had {count} lines")


def test_each_sink_gets_the_log_and_a_reload_changes_them(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log(site, 1, 2)

    async def scene() -> None:
        await until_lines(site.folder / "a.ndjson", 2)
        sinks = [
            {"type": "file", "name": "a", "path": "a.ndjson"},
            {"type": "file", "name": "b", "path": "b.ndjson", "format": "cef"},
        ]
        site.more = {"attempts": {"sinks": sinks}}
        site.order(ORDERS)
        await until_lines(site.folder / "b.ndjson", 2)
        log(site, 3)
        await until_lines(site.folder / "a.ndjson", 3)
        await until_lines(site.folder / "b.ndjson", 3)
        site.more = {"attempts": {"sinks": sinks[1:]}}
        site.order(ORDERS)
        await until_logged(caplog, "sink event=stopped name=a after=3")

    play(site, scene)
    assert caplog.text.count("event=started name=a") == 1, "what has not changed goes on"
    assert (site.folder / "a.ndjson").read_text().count("\n") == 3
    assert (site.folder / "b.ndjson").read_text().startswith("CEF:0|")
    status = read_status(site.folders.sink_status / "b.json")
    assert status is not None
    assert status.progress.records == 3
    assert {name: cursor.seq for name, cursor in cursors(site.folders.sinks).items()} == {"a": 3, "b": 3}


def test_a_sink_that_cannot_be_made_keeps_no_other_from_its_lines(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(site, 1)
    (site.folder / "no-certificate").write_text("no certificate")
    sinks = [
        {"type": "kafka", "brokers": ["k:9092"]},
        {"type": "syslog", "url": "tls://127.0.0.1:1", "ca": "no-certificate"},
        {"type": "file", "name": "a", "path": "a.ndjson"},
    ]
    site.more = {"attempts": {"sinks": sinks}}
    monkeypatch.setitem(sys.modules, "enforcer.attempts.sinks.kafka", None)

    async def scene() -> None:
        await until_lines(site.folder / "a.ndjson", 1)
        await until_logged(caplog, "failed name=kafka")
        await until_logged(caplog, f"failed name=syslog error={site.folder}/no-certificate: cannot be used for TLS")
        monkeypatch.delitem(sys.modules, "enforcer.attempts.sinks.kafka")
        log(site, 2)
        await until_lines(site.folder / "a.ndjson", 2)

    play(site, scene)
    assert 'error=confluent-kafka is not installed; install "enforcer[kafka]"' in caplog.text


def test_what_sinks_would_lack_is_known_before_they_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ca.pem", "token"):
        (site.folder / name).write_text("nothing")
    sinks = [
        {"type": "kafka", "brokers": ["k:9092"]},
        {"type": "syslog", "url": "tls://s.example", "ca": "ca.pem"},
        {"type": "splunk", "url": "https://s.example", "secret_file": "token"},
        {"type": "file", "name": "a", "path": "a.ndjson"},
    ]
    site.more = {"attempts": {"sinks": sinks}}
    config = site.config
    monkeypatch.setitem(sys.modules, "enforcer.attempts.sinks.kafka", None)
    (site.folder / "token").unlink()
    kafka, syslog, splunk = unfit(config)
    assert kafka.startswith('attempts.sinks[0] (kafka): confluent-kafka is not installed; install "enforcer[kafka]";')
    assert syslog.startswith(f"attempts.sinks[1] (syslog): {site.folder}/ca.pem: cannot be used for TLS (")
    assert splunk.startswith(f"attempts.sinks[2] (splunk): {site.folder}/token: No such file or directory;")


def test_a_configuration_that_cannot_be_read_changes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        site.order(ORDERS)
        site.folders.accepted.write_text("policy: [")
        await until_logged(caplog, "event=configuration_unreadable")
        log(site, 1)
        await until_lines(site.folder / "a.ndjson", 1)

    play(site, scene)


def test_one_process_feeds_them(site: Site) -> None:
    async def scene() -> None:
        with pytest.raises(Unavailable, match="another process feeds the sinks"):
            await Sinks(site.config).run(lambda: None)

    play(site, scene)


@pytest.mark.parametrize(
    ("sink", "kind", "settle_s"),
    [
        ({"type": "syslog", "url": "tls://s.example"}, SyslogSink, 5.0),
        ({"type": "syslog", "url": "udp://s.example:514"}, SyslogSink, 0.0),
        ({"type": "gelf", "url": "tcp://s.example:12201"}, GelfSink, 5.0),
        ({"type": "http", "url": "https://s.example"}, HttpSink, 0.0),
        ({"type": "splunk", "url": "https://s.example"}, HttpSink, 0.0),
        ({"type": "elastic", "url": "https://s.example"}, HttpSink, 0.0),
        ({"type": "kafka", "brokers": ["k:9092"]}, KafkaSink, 0.0),
    ],
)
def test_every_type_has_its_receiver(sink: dict[str, object], kind: type, settle_s: float) -> None:
    receiver = receiver_of(Sink.model_validate(sink), "gw")
    assert isinstance(receiver, kind)
    assert receiver.settle_s == settle_s
    receiver.close()


def test_without_the_library_of_kafka_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "enforcer.attempts.sinks.kafka", None)
    with pytest.raises(Unavailable, match=r'install "enforcer\[kafka\]"'):
        receiver_of(Sink.model_validate({"type": "kafka", "brokers": ["k:9092"]}), "gw")


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        ({}, {}),
        ({"ca": "ca.pem"}, {"security.protocol": "SSL", "ssl.ca.location": "ca.pem"}),
        (
            {"username": "u", "options": {"sasl.mechanism": "PLAIN"}},
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "u"},
        ),
    ],
)
def test_settings_of_kafka(more: dict[str, object], settings: dict[str, str]) -> None:
    sink = Sink.model_validate({"type": "kafka", "brokers": ["k:9092", "l:9092"], **more})
    assert kafka_settings(sink) == {"bootstrap.servers": "k:9092,l:9092", **settings}
