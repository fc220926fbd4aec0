import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.control import REQUEST_MAX, Answer, Request, ask, control_socket, number_of, text_of
from enforcer.errors import EnforcerError, Malformed, Unavailable


async def echo(request: Request) -> Answer:
    return {"said": text_of(request, "say")}


async def refuse(_: Request) -> Answer:
    raise Unavailable("wechat.yaml:3: this is wrong\nwechat.yaml:9: so is this")


OPERATIONS = {"echo": echo, "refuse": refuse}


def serving[T](path: Path, client: Callable[[Path], T]) -> T:
    """What a client gets that runs beside the server."""

    async def both() -> T:
        async with control_socket(path, OPERATIONS):
            return await asyncio.to_thread(client, path)

    return asyncio.run(both())


def raw(path: Path, data: bytes) -> bytes:
    """Everything that is answered to some bytes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


def test_a_request_is_answered(tmp_path: Path) -> None:
    assert serving(tmp_path / "s", lambda path: ask(path, {"op": "echo", "say": "hé"})) == {"said": "hé"}


def test_one_connection_can_ask_more_than_once(tmp_path: Path) -> None:
    lines = serving(tmp_path / "s", lambda path: raw(path, b'{"op":"echo","say":"a"}\n{"op":"echo","say":"b"}\n'))
    assert [json.loads(line) for line in lines.splitlines()] == [{"ok": True, "said": "a"}, {"ok": True, "said": "b"}]


def test_what_the_hub_refuses_is_raised_with_its_text(tmp_path: Path) -> None:
    with pytest.raises(EnforcerError, match=r"wechat.yaml:3: this is wrong\nwechat.yaml:9"):
        serving(tmp_path / "s", lambda path: ask(path, {"op": "refuse"}))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"hello\n", "the request is not JSON"),
        (b"[]\n", "a request is a JSON object"),
        (b'{"op":"dance"}\n', '"dance" is no operation; there are echo, refuse'),
        (b"{}\n", '"None" is no operation'),
        (b'{"op":"echo"}\n', '"say" is missing; write text'),
        (b"\xff\n", "the request is not JSON"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(tmp_path: Path, data: bytes, error: str) -> None:
    answer = json.loads(serving(tmp_path / "s", lambda path: raw(path, data)))
    assert answer["ok"] is False
    assert error in answer["error"]


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    def client(path: Path) -> bytes:
        try:
            return raw(path, b"x" * (REQUEST_MAX * 4))
        except ConnectionError:
            return b""

    assert serving(tmp_path / "s", client) == b""


def test_only_the_owner_may_connect_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch()  # a dead hub's
    assert serving(path, lambda path: path.stat().st_mode & 0o777) == 0o600
    assert not path.exists()


def test_a_folder_of_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    assert serving(folder / "s", lambda path: ask(path, {"op": "echo", "say": "a"})) == {"said": "a"}


@pytest.mark.parametrize("path", ["missing", "no/folder"])
def test_without_a_hub_the_client_says_so(tmp_path: Path, path: str) -> None:
    with pytest.raises(Unavailable, match="the hub does not answer"):
        ask(tmp_path / path, {"op": "ping"})


def test_a_socket_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 200)
    with pytest.raises(Unavailable, match="cannot be made"):
        serving(path, lambda _: None)


@pytest.mark.parametrize("value", [None, "5", True, 0, 11, 1.5])
def test_numbers_have_limits(value: object) -> None:
    with pytest.raises(Malformed, match='"n" is not a whole number from 1 to 10'):
        number_of({"n": value}, "n", 1, 10)


def test_a_number_within_its_limits_is_taken() -> None:
    assert [number_of({"n": n}, "n", 1, 10) for n in (1, 10)] == [1, 10]
