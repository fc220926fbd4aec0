"""Syslog (RFC 5424): over TLS (RFC 5425) and TCP (RFC 6587) with octets counted, over UDP one message a datagram."""

from collections.abc import Sequence

from enforcer.attempts.formats.syslog import counted, syslog
from enforcer.attempts.sinks import Outgoing
from enforcer.attempts.sinks.stream import Datagrams, Stream


class SyslogSink:
    """See Sink. pen: the private enterprise number of the structured data."""

    def __init__(self, carrier: Stream | Datagrams, pen: int) -> None:
        self._carrier, self._pen = carrier, pen
        self.settle_s = carrier.settle_s

    def send(self, batch: Sequence[Outgoing]) -> None:
        """See Sink."""
        messages = [syslog(each.record, each.text, self._pen) for each in batch]
        if isinstance(self._carrier, Stream):
            self._carrier.send(b"".join(map(counted, messages)))
        else:
            for message in messages:
                self._carrier.send(message)

    def check(self) -> None:
        """See Sink."""
        self._carrier.check()

    def close(self) -> None:
        """See Sink."""
        self._carrier.close()
