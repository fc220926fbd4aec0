"""Kafka, through librdkafka: an idempotent producer that waits for every in-sync replica.

The key is the device (else the address in its realm, else the node), so that a device's attempts stay in their order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from enforcer.attempts.formats.record import Notice
from enforcer.attempts.sinks import Outgoing, Refused
from enforcer.errors import Unavailable

_FLUSH_S = 30.0
_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})


class KafkaSink:
    """See Sink. settings: librdkafka's own, by their names. secret_file: where the SASL password is."""

    settle_s = 0.0

    def __init__(self, topic: str, settings: Mapping[str, str], secret_file: Path | None = None) -> None:
        self._topic, self._secret_file = topic, secret_file
        self._settings = {
            "acks": "all",
            "enable.idempotence": "true",
            "compression.type": "lz4",
            "message.timeout.ms": str(round(_FLUSH_S * 1000)),
            "linger.ms": "5",
            "client.id": "enforcer",
            "log_level": "2",  # a broker that is away is told once, by us
            **settings,
        }
        self._producer: Producer | None = None

    def send(self, batch: Sequence[Outgoing]) -> None:
        """See Sink."""
        errors: list[KafkaError] = []
        delivered = 0

        def report(error: KafkaError | None, _: Message) -> None:
            nonlocal delivered
            if error is None:
                delivered += 1
            else:
                errors.append(error)

        try:
            producer = self._producer or self._connect()
            for each in batch:
                producer.produce(self._topic, each.text.encode(), _key(each), on_delivery=report)
            left = producer.flush(_FLUSH_S)
        except KafkaException as error:
            self.close()
            raise self._told(error.args[0]) from error
        except BufferError as error:
            raise self._lost(str(error)) from error
        if left or delivered < len(batch):
            refused = [error for error in errors if error.code() in _REFUSED]
            self.close()
            if errors:
                raise self._told((refused or errors)[0])
            raise self._lost(f"{left} messages were not taken within {_FLUSH_S:.0f} s")

    def check(self) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink. What is still queued was not handed over, and will be sent again."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _connect(self) -> Producer:
        settings = self._settings
        if self._secret_file is not None:
            try:
                settings = {**settings, "sasl.password": self._secret_file.read_text().strip()}
            except OSError as error:
                raise self._lost(f"{self._secret_file}: cannot be read ({error.strerror})") from error
        self._producer = Producer(settings)
        return self._producer

    def _told(self, error: KafkaError) -> Refused | Unavailable:
        return Refused(error.str()) if error.code() in _REFUSED else self._lost(error.str())

    def _lost(self, why: str) -> Unavailable:
        self.close()
        return Unavailable(f"kafka topic {self._topic}: {why}")


def _key(each: Outgoing) -> bytes:
    record = each.record
    if isinstance(record, Notice):
        return record.node.encode()
    attempt = record.attempt
    if attempt.owner.device is not None:
        return attempt.owner.device.encode()
    if attempt.client_ip is not None:
        return f"{attempt.block.realm}/{attempt.client_ip}".encode()
    return attempt.node.encode()
