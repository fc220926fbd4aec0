import json
import socket
import time

from enforcer.attempts.formats.render import Format
from enforcer.attempts.sinks.gelf import GelfSink
from enforcer.attempts.sinks.stream import Datagrams, Remote, Stream
from tests.attempts.formats.samples import SAMPLES
from tests.attempts.sinks.receivers import Listener, outgoing

BATCH = [outgoing(form=Format.GELF), outgoing(SAMPLES["start"], Format.GELF)]


def test_over_a_stream_each_message_ends_with_a_nul() -> None:
    listener = Listener()
    sink = GelfSink(Stream(Remote("127.0.0.1", listener.port), time.sleep))
    sink.send(BATCH)
    sink.check()
    data = listener.wait(sum(len(each.text) + 1 for each in BATCH))
    assert data.endswith(b"\0")
    assert [json.loads(message)["_sequence"] for message in data[:-1].split(b"\0")] == [18421, 18421]
    sink.close()
    listener.close()


def test_over_udp_a_message_is_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        sink = GelfSink(Datagrams(Remote("127.0.0.1", sock.getsockname()[1])))
        sink.send(BATCH)
        assert [json.loads(sock.recv(8192))["version"] for _ in BATCH] == ["1.1", "1.1"]
        sink.close()
