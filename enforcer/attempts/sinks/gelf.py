"""GELF: over TCP or TLS each message ends with a NUL, uncompressed; over UDP one a datagram."""

from collections.abc import Sequence

from enforcer.attempts.sinks import Outgoing
from enforcer.attempts.sinks.stream import Datagrams, Stream


class GelfSink:
    """See Sink. The text of what is sent is GELF already."""

    def __init__(self, carrier: Stream | Datagrams) -> None:
        self._carrier = carrier
        self.settle_s = carrier.settle_s

    def send(self, batch: Sequence[Outgoing]) -> None:
        """See Sink."""
        messages = [each.text.encode() for each in batch]
        if isinstance(self._carrier, Stream):
            self._carrier.send(b"".join(message + b"\0" for message in messages))
        else:
            for message in messages:
                self._carrier.send(message)

    def check(self) -> None:
        """See Sink."""
        self._carrier.check()

    def close(self) -> None:
        """See Sink."""
        self._carrier.close()
