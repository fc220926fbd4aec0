import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.sinks.stream import Datagrams, Remote, Stream, Trust
from enforcer.errors import Unavailable
from tests.attempts.sinks.receivers import Listener
from tests.certificates import Authority


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def stream(listener: Listener, trust: Trust | None = None) -> Stream:
    return Stream(Remote("127.0.0.1", listener.port, trust), time.sleep)


def test_octets_arrive_over_one_connection(listener: Listener) -> None:
    sent = stream(listener)
    sent.send(b"one")
    sent.send(b"two" * 100_000)
    assert listener.wait(300_003)[:6] == b"onetwo"
    assert listener.connections == 1
    sent.close()
    sent.close()


def watch(sent: Stream) -> None:
    for _ in range(100):
        sent.check()
        time.sleep(0.01)


def test_a_receiver_that_hung_up_is_noticed_before_more_is_sent(listener: Listener) -> None:
    sent = stream(listener)
    sent.check()
    sent.send(b"one")
    listener.wait(3)
    sent.check()
    listener.hang_up()
    with pytest.raises(Unavailable, match="closed by the receiver"):
        watch(sent)
    sent.send(b"two")
    assert listener.wait(6) == b"onetwo"
    assert listener.connections == 2
    sent.close()


def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port}: Connection refused"):
        Stream(Remote("127.0.0.1", port), time.sleep).send(b"one")


def server_side(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    pair = authority.pair("siem", "siem.test")
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener = Listener(server_side(authority))
    own = authority.pair("gw", "gw.test")
    sent = stream(listener, Trust(authority.pem, own.certificate, own.key))
    sent.send(b"one")
    sent.check()
    assert listener.wait(3) == b"one"
    sent.close()
    listener.close()


def test_a_receiver_that_we_do_not_trust_gets_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    listener = Listener(server_side(authority))
    sent = stream(listener, Trust(Authority(other).pem))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        sent.send(b"one")
    assert not listener.data
    listener.close()


def test_certificates_that_cannot_be_read_are_told(listener: Listener, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"none\.pem: cannot be used for TLS \(No such file"):
        stream(listener, Trust(tmp_path / "none.pem")).send(b"one")


def test_each_message_is_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        sent = Datagrams(Remote("127.0.0.1", sock.getsockname()[1]))
        sent.send(b"one")
        sent.send(b"two")
        sent.check()
        assert [sock.recv(100), sock.recv(100)] == [b"one", b"two"]
        with pytest.raises(Unavailable, match="Message too long"):
            sent.send(b"x" * 100_000)
        sent.close()


def test_remotes_are_written_as_usual() -> None:
    assert str(Remote("siem.test", 6514)) == "siem.test:6514"
    assert str(Remote("2001:db8::1", 6514)) == "[2001:db8::1]:6514"
