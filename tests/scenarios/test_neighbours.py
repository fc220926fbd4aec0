"""What lives beside a banned application stays reachable with the shipped lists, on every layer."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import dns.message
import dns.rrset
import pytest
from click.testing import CliRunner, Result

from enforcer.cli import main
from tests.replay.captures import Conversation, pcap
from tests.wire.hellos import hello
from tests.wire.initials import crypto, seal

type Run = Callable[..., Result]

LINES = Path(__file__).with_name("neighbours.txt").read_text().splitlines()
TARGETS = [line.split(maxsplit=1)[0] for line in LINES if line and not line.startswith("#")]
NAMES = sorted(
    {name for each in TARGETS if (name := urlsplit(each if "//" in each else f"//{each}").hostname)} - {"17.57.144.10"}
)
BANNED = ("long.weixin.qq.com", "web.wechat.com", "my.kaspersky.com", "doh.opendns.com")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENFORCER_CONFIG", raising=False)
    monkeypatch.setattr("enforcer.cli.context.SYSTEM", tmp_path / "none.yaml")
    return lambda *arguments, stdin: CliRunner().invoke(main, arguments, input=stdin, catch_exceptions=False)


def actions(result: Result, key: str) -> dict[str, str]:
    return {each[key] or each["dest_ip"]: each["action"] for each in map(json.loads, result.stdout.splitlines())}


def test_check_allows_every_neighbour_in_every_form(run: Run) -> None:
    forms = [
        *TARGETS,
        *(form for name in NAMES for form in (name, f"https://{name}/", f"http://{name}/", f"{name}:443")),
    ]
    found = actions(run("check", "--json", "-", stdin="\n".join(forms)), "target")
    assert set(found) == set(forms)
    assert {target for target, action in found.items() if action != "allow"} == set()


def test_check_blocks_what_is_banned_in_every_form(run: Run) -> None:
    forms = [form for name in BANNED for form in (name, f"https://{name}/", f"http://{name}/", f"{name}:443")]
    assert set(actions(run("check", "--json", "-", stdin="\n".join(forms)), "target").values()) == {"block"}


@pytest.mark.parametrize("layer", ["dns", "tls", "quic", "http"])
def test_replay_lets_every_neighbour_through(run: Run, layer: str) -> None:
    assert set(actions(replayed(run, layer, NAMES), "name").items()) == {(name, "allow") for name in NAMES}


@pytest.mark.parametrize("layer", ["dns", "tls", "quic", "http"])
def test_replay_stops_what_is_banned(run: Run, layer: str) -> None:
    assert set(actions(replayed(run, layer, BANNED), "name").items()) == {(name, "block") for name in BANNED}


def replayed(run: Run, layer: str, names: tuple[str, ...] | list[str]) -> Result:
    """A capture in which a phone goes to each of the names on this layer."""
    packets = [packet for number, name in enumerate(names) for packet in talk(layer, name, 20_000 + number).packets]
    return run("replay", "--json", "-", stdin=pcap(packets))


def talk(layer: str, name: str, port: int) -> Conversation:
    match layer:
        case "dns":
            query = dns.message.make_query(name, "A", id=port)
            reply = dns.message.make_response(query)
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.80"))
            return Conversation(port=53, client_port=port).datagram(query.to_wire()).answered(reply.to_wire())
        case "quic":
            message = hello(name.encode())[5:]
            return Conversation(client_port=port).datagram(seal(crypto(message)))
        case "http":
            head = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % name.encode()
            return Conversation(port=80, client_port=port).opened().sends(head)
    return Conversation(client_port=port).opened().sends(hello(name.encode()))
