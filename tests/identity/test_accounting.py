"""The part that takes in accounting: from the socket to the session table, over restarts and a full disk."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest

from enforcer.errors import Unavailable
from enforcer.identity.accounting import AccountingPart
from tests.identity.gateway import IMEI, IMSI, NOON_S, SECRET, START, STOP, Bench, accounting
from tests.processes.site import free_port
from tests.records import NOON_MS
from tests.tools import need

PHONE = ip_address("192.0.2.7")


def settings(folder: Path, port: int, **more: object) -> Mapping[str, object]:
    client = {"network": "127.0.0.1", "secret_file": str(folder / "secret")}
    return {"radius": [{"realm": "lab", "listen": f"127.0.0.1:{port}", "clients": [client], **more}]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, settings(tmp_path, free_port()))


def served(bench: Bench, talk: Callable[[int], None]) -> AccountingPart:
    """Run the part while `talk` is in a thread of its own, as a gateway is."""
    part = AccountingPart(bench.means)
    listen = bench.config.identity.radius[0].listen
    assert listen is not None

    async def run() -> None:
        task = asyncio.get_running_loop().create_task(part.run())
        await asyncio.to_thread(talk, listen.port)
        task.cancel()

    asyncio.run(run())
    part.close()
    return part


def send(*packets: bytes) -> Callable[[int], None]:
    def talk(port: int) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            for packet in packets:
                sock.sendto(packet, ("127.0.0.1", port))
                assert sock.recv(4096)[0] == 5

    return talk


def owner(bench: Bench, after_s: float = 1) -> str | None:
    at = bench.desk.clock().fromtimestamp((NOON_MS / 1000) + after_s, bench.desk.clock().tzinfo)
    return bench.registry.owner("lab", PHONE, at).device


def test_a_start_makes_an_owner(bench: Bench) -> None:
    served(bench, send(accounting(START)))
    assert owner(bench) == "dev-1"
    assert bench.registry.waits["lab"].unknown_ms == 5000


def test_drill_restart_with_what_was_kept_and_without(bench: Bench, tmp_path: Path) -> None:
    served(bench, send(accounting(START)))
    again = Bench(tmp_path / "again", settings(tmp_path, free_port()))
    shutil.copytree(bench.desk.folders.identity, again.desk.folders.identity)
    AccountingPart(again.means).close()
    found = again.registry.owner("lab", PHONE, again.desk.clock())
    assert (found.device, found.identity.state.value) == ("dev-1", "stale")
    shutil.rmtree(again.desk.folders.identity)
    AccountingPart(again.means).close()
    assert again.registry.owner("lab", PHONE, again.desk.clock()).device is None


def test_drill_full_disk_is_told_and_serves_from_memory(bench: Bench) -> None:
    part = AccountingPart(bench.means)
    packet = accounting(START)
    feed = part._doors[0].feed
    with mock.patch("os.write", side_effect=OSError(28, "No space left on device")):
        assert feed.receive([(packet, ("127.0.0.1", 5))], NOON_MS) == []
    assert list(part.problems()) == [
        "radius: reports cannot be recorded, and are not answered: No space left on device"
    ]
    assert owner(bench) == "dev-1"
    assert len(feed.receive([(packet, ("127.0.0.1", 5))], NOON_MS)) == 1
    assert list(part.problems()) == []
    part.close()


def test_radclient_is_answered_and_with_a_wrong_secret_is_not(bench: Bench) -> None:
    radclient, done = need("radclient"), []
    attributes = (
        f'Acct-Status-Type = Start, Acct-Session-Id = "C00002010A1B2C3D", NAS-Identifier = "pgw1.apn.example", '
        f'Framed-IP-Address = {PHONE}, Framed-IPv6-Prefix = 2001:db8:20:30::/64, Called-Station-Id = "gov.mobile", '
        f'Calling-Station-Id = "16135550123", Event-Timestamp = {NOON_S}, 3GPP-IMSI = "{IMSI}", '
        f'3GPP-IMEISV = "{IMEI[:14]}01", 3GPP-SGSN-MCC-MNC = "00101", Message-Authenticator = 0x00'
    )

    def talk(port: int) -> None:
        for secret in (SECRET.decode(), "another-secret-32-bytes-minimum!"):
            command = [radclient, "-x", "-r", "1", "-t", "1", f"127.0.0.1:{port}", "acct", secret]
            done.append(subprocess.run(command, input=attributes, capture_output=True, text=True, check=False))

    part = served(bench, talk)
    right, wrong = done
    assert "Received Accounting-Response" in right.stdout, right.stdout + right.stderr
    assert wrong.returncode == 1
    assert owner(bench) == "dev-1"
    prefix = bench.registry.owner("lab", ip_address("2001:db8:20:30::99"), bench.desk.clock())
    assert (prefix.device, prefix.identity.granularity.value) == ("dev-1", "connection")
    assert {"imsi", "imeisv", "prefixes", "event_s"} <= set(part.seen()["lab 127.0.0.1/32"])


def test_r17_a_sim_in_another_handset_is_one_finding(bench: Bench) -> None:
    part = AccountingPart(bench.means)
    feed = part._doors[0].feed
    packets = [
        accounting(START, "s1", imei=IMEI),
        accounting(START, "s2", number=2, imei="001015012345689"),
        accounting(START, "s3", number=3, imei="001015012345689", address="192.0.2.8"),
        accounting(START, "s4", number=4, imei="9999990123456701"),
        accounting(START, "s5", number=5, imei=IMEI),
        accounting(START, "s6", number=6, imei="001015012345689"),
    ]
    for packet in packets:
        feed.receive([(packet, ("127.0.0.1", 5))], NOON_MS)
    part.close()
    swaps = bench.events("sim_swap")
    assert [(each["sim_of"], str(each["device"])[:9]) for each in swaps] == [
        ("dev-1", "dev-2"),
        ("dev-1", "unlisted:"),
        ("dev-1", "dev-2"),
    ]
    assert "99999901" not in str(swaps)


def test_before_users_were_told_no_finding_names_a_device(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings(tmp_path, free_port()), acknowledged=False)
    part = AccountingPart(bench.means)
    part._doors[0].feed.receive([(accounting(START, imei="001015012345689"), ("127.0.0.1", 5))], NOON_MS)
    part.close()
    assert bench.events("sim_swap") == []


def test_packets_are_counted_by_realm_and_result(bench: Bench) -> None:
    part = AccountingPart(bench.means)
    source = ("127.0.0.1", 5)
    part._doors[0].feed.receive([(accounting(START), source), (b"x", source), (b"x", ("192.0.2.1", 1))], NOON_MS)
    samples = {
        (sample.name, sample.labels.get("result")): sample.value
        for family in part.metrics()
        for sample in family.samples
    }
    part.close()
    assert samples["enforcer_radius_packets_total", "accepted"] == 1
    assert samples["enforcer_radius_packets_total", "malformed"] == 1
    assert samples["enforcer_radius_packets_total", "unknown_client"] == 1
    assert samples["enforcer_radius_packets_total", "bad_authenticator"] == 0
    assert samples["enforcer_radius_last_packet_timestamp_seconds", None] == NOON_S


def test_a_gateway_that_has_gone_silent_is_told(bench: Bench) -> None:
    part = AccountingPart(bench.means)
    for i in range(5):
        packet = accounting(3, number=i, at_s=NOON_S + 600 * i)
        part._doors[0].feed.receive([(packet, ("127.0.0.1", 5))], NOON_MS + 600_000 * i)
    bench.desk.now_ms = NOON_MS + 2_400_000 + 1_300_000
    assert list(part.problems()) == ["radius: nothing from pgw1 of realm lab for 1300 s"]
    part.close()


def test_the_journal_becomes_a_snapshot_when_it_is_long(bench: Bench) -> None:
    with mock.patch("enforcer.identity.accounting.JOURNAL_MAX", 1):

        def talk(port: int) -> None:
            send(accounting(START), accounting(STOP, number=2))(port)
            for _ in range(40):
                if (bench.desk.folders.identity / "sessions-1.snapshot").exists():
                    return
                time.sleep(0.1)

        served(bench, talk)
    names = sorted(path.name for path in bench.desk.folders.identity.iterdir())
    assert "sessions-1.snapshot" in names
    assert "sessions-0.journal" not in names


def test_raw_identifiers_leave_the_disk_with_the_history(bench: Bench) -> None:
    def kept() -> bytes:
        return b"".join(path.read_bytes() for path in bench.desk.folders.identity.glob("sessions-*"))

    def talk(port: int) -> None:
        send(accounting(START), accounting(STOP, number=2))(port)
        assert IMSI.encode() in kept()
        bench.desk.now_ms += 26 * 3_600_000
        for _ in range(2):  # as the part for the inventory does it, each second a little
            bench.registry.sessions.sweep(bench.desk.now_ms, 100)
        for _ in range(60):
            if IMSI.encode() not in kept():
                return
            time.sleep(0.1)

    with mock.patch("enforcer.identity.accounting.SNAPSHOT_S", 0):
        served(bench, talk)
    assert IMSI.encode() not in kept()


@pytest.mark.parametrize("wrong", ["address", "secret", "folder"])
def test_what_cannot_be_had_stops_the_start(tmp_path: Path, wrong: str) -> None:
    port = free_port()
    bench = Bench(tmp_path, settings(tmp_path, port))
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        if wrong == "address":
            taken.bind(("127.0.0.1", port))
        elif wrong == "secret":
            (tmp_path / "secret").write_text("short")
        else:
            bench.desk.folders.identity.touch()
        with pytest.raises(Unavailable):
            AccountingPart(bench.means)
