import ssl
from pathlib import Path

import pytest
from mitmproxy.proxy import events

from enforcer.proxy.gate import Gate
from enforcer.proxy.layers import Shut
from enforcer.proxy.relay import HttpRelay
from enforcer.proxy.secured import Secured, trust
from tests.certificates import Authority
from tests.proxy.playbook import Play, Site, context, flow, hello

CONNECT = b"CONNECT www.ok.test:443 HTTP/1.1\r\nHost: www.ok.test:443\r\n\r\n"
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
NAME = "proxy.corp.test"


class Other:
    """The other proxy, which speaks TLS, without a socket. play: it answers what we send there."""

    def __init__(self, site: Site, folder: Path, names: str = NAME) -> None:
        authority = Authority(folder)
        pair = authority.pair("proxy", names)
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(pair.certificate, pair.key)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = serving.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read = 0
        made = flow(to=None)
        surroundings = context(made, f"upstream:https://{NAME}:3128@5080")
        surroundings.server.address = (NAME, 3128)
        relay = HttpRelay(surroundings, site.door, made, Gate, judged=False)
        trusted = ssl.create_default_context(cafile=str(authority.pem))
        secured = Secured(surroundings, site.door, made, relay, name=NAME, trusted=trusted)
        self.play = Play(secured, surroundings)
        self.heard = b""

    def hear(self) -> None:
        """Take what was sent to it, until neither side has more to say; `heard` is what it can read of that."""
        while len(self.play.to_server) > self._read:
            self._incoming.write(self.play.to_server[self._read :])
            self._read = len(self.play.to_server)
            try:
                self._tls.do_handshake()
                while data := self._tls.read(0x10000):
                    self.heard += data
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return
            self._reply()

    def say(self, data: bytes) -> None:
        self._tls.write(data)
        self._reply()
        self.hear()

    def end(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._reply()

    def _reply(self) -> None:
        if self._outgoing.pending:
            self.play.server(self._outgoing.read())


def test_what_goes_to_the_other_proxy_is_judged_and_then_secured(site: Site, tmp_path: Path) -> None:
    other = Other(site, tmp_path)
    other.play.client(CONNECT)
    other.hear()
    assert other.heard == CONNECT
    assert CONNECT not in other.play.to_server
    other.say(GRANTED)
    first = hello("www.ok.test")
    other.play.client(first)
    other.hear()
    assert other.heard == CONNECT + first
    other.say(b"theirs")
    assert other.play.to_client == GRANTED + b"theirs"
    assert (site.recorded, other.play.closed) == ([], False)


def test_what_is_banned_never_gets_there(site: Site, tmp_path: Path) -> None:
    other = Other(site, tmp_path)
    other.play.client(CONNECT)
    other.hear()
    other.say(GRANTED)
    other.play.client(hello("chat.banned.test"))
    other.hear()
    assert (other.heard, other.play.closed) == (CONNECT, True)
    assert other.play.to_client == GRANTED + bytes.fromhex("15030300020270")
    assert len(site.recorded) == 1


def test_a_proxy_with_another_certificate_gets_nothing(site: Site, tmp_path: Path) -> None:
    other = Other(site, tmp_path, "another.test")
    other.play.client(CONNECT)
    other.hear()
    assert (other.heard, other.play.closed) == (b"", True)


def test_a_proxy_that_ends_ends_the_client(site: Site, tmp_path: Path) -> None:
    other = Other(site, tmp_path)
    other.play.client(CONNECT)
    other.hear()
    other.say(GRANTED)
    other.end()
    other.play.ends(other.play.context.client)
    assert other.play.closed
    other.play.tell(events.ConnectionClosed(other.play.context.server))


def test_a_proxy_that_breaks_off_ends_the_client(site: Site, tmp_path: Path) -> None:
    other = Other(site, tmp_path)
    other.play.client(CONNECT)
    other.hear()
    other.play.server(b"\x17\x03\x03\x00\x05wrong").ends(other.play.context.client)
    assert other.play.closed
    other = Other(site, tmp_path)
    other.play.client(CONNECT)
    assert other.play.ends(other.play.context.server).closed


def test_the_systems_authorities_are_trusted_and_names_are_checked() -> None:
    assert trust().check_hostname
    assert trust().verify_mode is ssl.CERT_REQUIRED
    assert trust() is trust()


def test_an_exception_inside_closes(site: Site) -> None:
    made = flow(to=None)
    surroundings = context(made)
    layer = Secured(surroundings, site.door, made, Shut(surroundings), name=NAME, trusted=trust())
    layer._tunnel.child_layer = None  # type: ignore[assignment]
    assert Play(layer, surroundings).wake().closed
