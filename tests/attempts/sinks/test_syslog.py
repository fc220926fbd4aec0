import socket
import time

from enforcer.attempts.formats.syslog import PEN, syslog
from enforcer.attempts.sinks.stream import Datagrams, Remote, Stream
from enforcer.attempts.sinks.syslog import SyslogSink
from tests.attempts.formats.samples import SAMPLES
from tests.attempts.sinks.receivers import Listener, outgoing

BATCH = [outgoing(), outgoing(SAMPLES["hostile"])]
MESSAGES = [syslog(each.record, each.text, PEN) for each in BATCH]


def test_over_a_stream_octets_are_counted() -> None:
    listener = Listener()
    sink = SyslogSink(Stream(Remote("127.0.0.1", listener.port), time.sleep), PEN)
    assert sink.settle_s > 0
    sink.send(BATCH)
    sink.check()
    framed = b"".join(b"%d %b" % (len(message), message) for message in MESSAGES)
    assert listener.wait(len(framed)) == framed
    sink.close()
    listener.close()


def test_over_udp_a_message_is_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        sink = SyslogSink(Datagrams(Remote("127.0.0.1", sock.getsockname()[1])), PEN)
        sink.send(BATCH)
        sink.check()
        assert [sock.recv(8192) for _ in BATCH] == MESSAGES
        sink.close()
