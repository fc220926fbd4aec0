import json
from pathlib import Path

import pytest

from tests.cli.site import Run
from tests.records import NOON_MS, moment
from tests.replay.captures import ETHERNET, Conversation, ethernet, pcap
from tests.wire.hellos import hello

NOON, RULE = "2026-06-01T12:00:00.000Z", "chat/suffix/msg.chat.test"
GET = b"GET /chat/x HTTP/1.1\r\nHost: 192.0.2.80\r\n\r\n"


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.cli.replay.utc_now", lambda: moment(NOON_MS))


@pytest.fixture
def capture(site: Path) -> Path:
    packets = [
        *Conversation().opened().sends(hello(b"a.msg.chat.test")).packets,
        *Conversation(client_port=40_001).opened().sends(hello(b"www.canada.ca")).packets,
        *Conversation(client_port=40_002, port=80).opened().sends(GET).packets,
        *Conversation(client_port=40_003, server="2001:db8::80", client="2001:db8:20::5").datagram(b"\0").packets,
    ]
    path = site / "phone.pcap"
    path.write_bytes(pcap([ethernet(packet, 0x8100) for packet in packets], ETHERNET))
    return path


def test_each_flow_has_a_line_and_one_block_makes_the_exit_status_1(run: Run, capture: Path) -> None:
    result = run("replay", str(capture))
    assert result.exit_code == 1
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        f"block {NOON} tls tcp 10.20.0.5:40000 to 192.0.2.80:443 a.msg.chat.test chat messaging {RULE}",
        "allow 2026-06-01T12:00:00.003Z tls tcp 10.20.0.5:40001 to 192.0.2.80:443 www.canada.ca",
        "block 2026-06-01T12:00:00.006Z http tcp 10.20.0.5:40002 to 192.0.2.80:80 chat messaging chat/http_path//chat/",
        "allow 2026-06-01T12:00:00.009Z ip udp [2001:db8:20::5]:40003 to [2001:db8::80]:443",
    ]


def test_json_is_one_object_a_flow_with_the_same_keys(run: Run, capture: Path) -> None:
    found = [json.loads(line) for line in run("replay", "--json", str(capture)).stdout.splitlines()]
    assert found[0] == {
        "time": NOON,
        "transport": "tcp",
        "client_ip": "10.20.0.5",
        "client_port": 40000,
        "dest_ip": "192.0.2.80",
        "dest_port": 443,
        "layer": "tls",
        "name": "a.msg.chat.test",
        "via": None,
        "shows": "name",
        "action": "block",
        "service": "chat",
        "part": "messaging",
        "rule": RULE,
    }
    assert all(list(each) == list(found[0]) for each in found)


def test_a_summary_counts_by_rule_and_names_nobody(run: Run, capture: Path) -> None:
    result = run("replay", "--summary", str(capture))
    assert result.exit_code == 1
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "action layer shows service rule flows",
        "block http name chat chat/http_path//chat/ 1",
        "block tls name chat chat/suffix/msg.chat.test 1",
        "allow ip unknown - - 1",
        "allow tls name - - 1",
        "",
        "flows 4",
        "begun 2026-06-01T12:00:00.000Z to 2026-06-01T12:00:00.009Z",
        "packets 10",
        "cut short 0",
        "not IP 0",
    ]


def test_an_exempt_device_is_let_through_and_the_exit_status_is_0(run: Run, capture: Path) -> None:
    result = run("replay", "--device", "dev-2", "--json", str(capture))
    assert result.exit_code == 0
    assert {json.loads(line)["action"] for line in result.stdout.splitlines()} == {"allow"}


def test_it_reads_standard_input_and_the_shipped_lists_without_a_configuration(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    talk = Conversation(port=8080).opened().sends(bytes.fromhex("19f10400a10000009d0104f10100a8"))
    result = run("replay", "-", stdin=pcap(talk.packets))
    assert result.stdout.endswith("wechat  messaging  wechat/fingerprint/mmtls\n")
    assert sorted(tmp_path.iterdir()) == []


def test_what_is_no_capture_is_exit_status_2(run: Run, site: Path) -> None:
    result = run("replay", "chat.yaml")
    assert result.exit_code == 2
    what = "this is no capture: it begins neither as pcap nor as pcapng; write one with tcpdump -w"
    assert result.stderr == f"chat.yaml: {what}\n"
    assert run("replay", str(site / "missing.pcap")).exit_code == 2


def test_an_empty_capture_has_an_empty_summary(run: Run, site: Path) -> None:
    (site / "empty.pcap").write_bytes(pcap([]))
    result = run("replay", "--summary", "empty.pcap")
    assert result.exit_code == 0
    assert "flows      0" in result.stdout
    assert result.stderr == "no flow in it\n"
    for option in ((), ("--json",)):
        result = run("replay", *option, "empty.pcap")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no flow in it\n")
