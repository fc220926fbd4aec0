"""On librdkafka's own mock cluster, whose brokers live in the producer's process; the end-to-end test has another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from enforcer.attempts.formats.render import Format
from enforcer.attempts.sinks import Refused
from enforcer.attempts.sinks.kafka import KafkaSink
from enforcer.errors import Unavailable
from tests.attempts.formats.samples import SAMPLES
from tests.attempts.sinks.receivers import outgoing

BATCH = [outgoing(SAMPLES[name], Format.OCSF) for name in ("dns", "tls", "nobody", "start")]


@pytest.fixture
def brokers() -> Iterator[str]:
    """A mock cluster: it lives as long as the producer that it belongs to."""
    owner = Producer({"test.mock.num.brokers": "3", "bootstrap.servers": "mock"})
    metadata = owner.list_topics(timeout=10)
    yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    owner.flush(1)


def consumed(brokers: str, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages = consumer.consume(count, timeout=20)
    consumer.close()
    return [(message.key() or b"", message.value() or b"") for message in messages]


def test_a_batch_is_delivered_keyed_by_device(brokers: str) -> None:
    sink = KafkaSink("attempts", {"bootstrap.servers": brokers})
    sink.check()
    sink.send(BATCH)
    sink.close()
    found = consumed(brokers, "attempts", len(BATCH))
    assert sorted(value for _, value in found) == sorted(each.text.encode() for each in BATCH)
    assert sorted(key for key, _ in found) == [b"dev-7f3a91c2", b"dev-7f3a91c2", b"gw1", b"gw1"]


def test_nobody_there_is_unavailable() -> None:
    sink = KafkaSink("attempts", {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": "300"})
    with pytest.raises(Unavailable, match="kafka topic attempts: "):
        sink.send(BATCH[:1])


def test_a_message_that_is_too_large_is_refused(brokers: str) -> None:
    sink = KafkaSink("attempts", {"bootstrap.servers": brokers, "message.max.bytes": "1000"})
    with pytest.raises(Refused, match="too large"):
        sink.send([outgoing(SAMPLES["hostile"])])
    sink.close()


def test_settings_that_librdkafka_does_not_know_are_told() -> None:
    with pytest.raises(Unavailable, match=r"no\.such\.setting"):
        KafkaSink("attempts", {"no.such.setting": "1"}).send(BATCH)


def test_a_password_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="password: cannot be read"):
        KafkaSink("attempts", {}, tmp_path / "password").send(BATCH)
