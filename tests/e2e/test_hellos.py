"""What real clients send first is read as they mean it."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from enforcer.decide.flow import Datagrams, Opening, Seen, Shows
from enforcer.policy.names import display
from enforcer.policy.verdict import Layer
from tests.tools import need

NAME = "chat.blocked.test"
WAIT_S = 20.0


class Door:
    """A port on loopback that takes what the first client sends, until that shows where it goes, and hangs up."""

    def __init__(self, kind: socket.SocketKind) -> None:
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_S)
        self.port: int = self.socket.getsockname()[1]
        self.seen: Seen | None = None
        self.pieces: list[bytes] = []
        self.thread = threading.Thread(target=self._take, daemon=True)
        if kind is socket.SOCK_STREAM:
            self.socket.listen()
        self.thread.start()

    def _take(self) -> None:
        if self.socket.type is socket.SOCK_STREAM:
            client, _ = self.socket.accept()
            with client:
                client.settimeout(WAIT_S)
                opening = Opening()
                while self.seen is None and (data := client.recv(1000)):
                    self.pieces.append(data)
                    self.seen = opening.add(data)
        else:
            datagrams = Datagrams()
            while self.seen is None:
                data = self.socket.recv(2000)
                self.pieces.append(data)
                self.seen = datagrams.add(data)


@contextmanager
def door(kind: socket.SocketKind) -> Iterator[Door]:
    opened = Door(kind)
    with opened.socket:
        yield opened
        opened.thread.join(WAIT_S)
    assert opened.seen is not None, [piece.hex() for piece in opened.pieces]


@contextmanager
def running(command: Sequence[str]) -> Iterator[None]:
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        client.kill()
        client.wait()


def chromium(profile: Path, port: int, *options: str) -> list[str]:
    command = [need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [
        f"--user-data-dir={profile}",
        f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{port}, EXCLUDE 127.0.0.1",
    ]
    return [*command, *options, "--dump-dom", f"https://{NAME}/"]


def shown(seen: Seen | None) -> tuple[Layer, Shows, list[str]]:
    assert seen is not None
    return seen.layer, seen.shows, [display(name) for name in seen.names]


def test_curl() -> None:
    with door(socket.SOCK_STREAM) as opened:
        command = [need("curl"), "-sk", "--connect-to", f"::127.0.0.1:{opened.port}", f"https://{NAME}/"]
        subprocess.run(command, check=False, timeout=WAIT_S)
    assert shown(opened.seen) == (Layer.TLS, Shows.NAME, [NAME])


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["-servername", NAME], (Layer.TLS, Shows.NAME, [NAME])), (["-noservername"], (Layer.TLS, Shows.NO_NAME, []))],
)
def test_openssl(options: list[str], expected: tuple[Layer, Shows, list[str]]) -> None:
    with door(socket.SOCK_STREAM) as opened:
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{opened.port}", *options]
        subprocess.run(command, check=False, timeout=WAIT_S, stdin=subprocess.DEVNULL, capture_output=True)
    assert shown(opened.seen) == expected


def test_chromium_over_tcp(tmp_path: Path) -> None:
    with door(socket.SOCK_STREAM) as opened, running(chromium(tmp_path, opened.port)):
        opened.thread.join(WAIT_S)
    assert shown(opened.seen) == (Layer.TLS, Shows.NAME, [NAME])
    assert opened.seen is not None
    assert opened.seen.ech
    assert "h2" in opened.seen.alpn


def test_chromium_over_quic(tmp_path: Path) -> None:
    force = ["--enable-quic", f"--origin-to-force-quic-on={NAME}:443"]
    with door(socket.SOCK_DGRAM) as opened, running(chromium(tmp_path, opened.port, *force)):
        opened.thread.join(WAIT_S)
    assert shown(opened.seen) == (Layer.QUIC, Shows.NAME, [NAME])
    assert opened.seen is not None
    assert opened.seen.alpn == ("h3",)
