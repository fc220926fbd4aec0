import asyncio
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.config.values import parse_endpoint
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.processes.console import Accepted, ConsoleProcess, Readers, scrape, users_file
from tests.certificates import Authority
from tests.cli.site import CONFIG, DEVICES, LIST, write_config


def config_of(folder: Path, **values: object) -> Config:
    (folder / "chat.yaml").write_text(LIST)
    (folder / "devices.csv").write_text(DEVICES)
    write_config(folder, {**CONFIG, **values})
    return load(folder / "enforcer.yaml")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def fetch(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_console_and_block_page_are_served_at_their_own_addresses(tmp_path: Path) -> None:
    pages, sinkhole = free_port(), free_port()
    config = config_of(
        tmp_path,
        console={"listen": f"127.0.0.1:{pages}", "auth": "open"},
        block_page={"listen": f"127.0.0.1:{sinkhole}"},
    )
    found: list[tuple[int, str]] = []

    async def run() -> None:
        def ask() -> None:
            found.append(fetch(f"http://127.0.0.1:{pages}/healthz"))
            found.append(fetch(f"http://127.0.0.1:{pages}/"))
            found.append(fetch(f"http://127.0.0.1:{sinkhole}/x", Host="a.chat.test"))
            os.kill(os.getpid(), signal.SIGTERM)

        await ConsoleProcess(config).run(lambda: threading.Thread(target=ask).start())

    asyncio.run(run())
    assert [status for status, _ in found] == [200, 503, 403]
    assert "start the hub" in found[1][1]
    assert "a.chat.test" in found[2][1]


def test_without_pages_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match='write "console" or "block_page"'):
        asyncio.run(ConsoleProcess(config_of(tmp_path)).run(lambda: None))


def test_a_certificate_that_does_not_fit_stops_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.pair("first"), authority.pair("second")
    console = {"certificate": str(first.certificate), "key": str(second.key)}
    with pytest.raises(Unavailable, match="cannot be used with"):
        ConsoleProcess(config_of(tmp_path, console=console))


def test_the_configuration_is_the_one_that_the_hub_has_accepted(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    accepted = Accepted(config)
    assert accepted.now() is config
    folders = Folders(config.data_dir)
    folders.run.mkdir(parents=True)
    changed = json.loads((tmp_path / "enforcer.yaml").read_text())
    changed["policy"]["ban"] = "another"
    folders.accepted.write_text(json.dumps(changed))
    assert accepted.now().policy.ban == "another"
    assert accepted.now() is accepted.now()
    folders.accepted.write_text("nonsense")
    assert accepted.now().policy.ban == "another"


def test_users_are_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert users_file(config_of(tmp_path)) == tmp_path / "data" / "console" / "users"
    assert users_file(config_of(tmp_path, console={"users": "people"})) == tmp_path / "people"


def test_the_metrics_of_a_hub_that_is_away_are_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        scrape(parse_endpoint(f"127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(("listen", "url"), [("0.0.0.0:1", "http://127.0.0.1:1"), ("[::]:1", "http://[::1]:1")])
def test_an_address_of_all_is_asked_at_loopback(listen: str, url: str) -> None:
    with pytest.raises(Unavailable, match=url.replace("[", r"\[")):
        scrape(parse_endpoint(listen))


class Reader:
    """An index as far as borrowing goes."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("keep", "made"), [(0, 3), (1, 2)])
def test_readers_are_kept_for_the_next_request_but_for_broken_ones(keep: int, made: int) -> None:
    found: list[Reader] = []

    def make() -> Reader:
        found.append(Reader())
        return found[-1]

    readers = Readers(make, keep)  # type: ignore[arg-type]
    with readers.borrow():
        pass
    with pytest.raises(Unavailable), readers.borrow():
        raise Unavailable("gone")
    with readers.borrow():
        pass
    assert len(found) == made
    readers.close()
    assert [each.closed for each in found] == [1] * made
