"""Lease files and sockets, also while their server is at them."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enforcer.devices.claims import Claim
from enforcer.errors import Unavailable
from enforcer.identity.leases import KeaSocket, LeaseFile, parse_dnsmasq, parse_kea

DNSMASQ = """\
1795435200 00:10:a4:23:19:c0 10.0.0.5 phone 01:00:10:a4:23:19:c0
0 00:10:a4:23:19:c1 10.0.0.6 * *
1795435200 tt-00:11 10.0.0.7 * *
agent-info something new
duid 00:01:00:01:2a:00:00:00:00:10:a4:00:00:01
1795435200 12345 2001:db8::5 phone 00:01:00:01:2a:00:00:00:00:10:a4:23:19:c0
1795435200 T12346 2001:db8::6 * 00:03:00:01:00:10:a4:23:19:c1
1795435200 12347 2001:db8::7 * 00:02:00:00:00:09:aa
"""
KEA4 = """\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
10.0.0.5,00:10:a4:23:19:c0,,3600,1795435200,1,0,0,a&#x2cb,0,,0
10.0.0.6,00:10:a4:23:19:c1,,3600,1795435200,1,0,0,,0,,0
10.0.0.5,00:10:a4:23:19:c2,,3600,1795438800,1,0,0,,0,,0
10.0.0.6,00:10:a4:23:19:c1,,0,1795435200,1,0,0,,0,,0
10.0.0.7,00:10:a4:23:19:c3,,3600,1795435200,1,0,0,,2,,0
"""
KEA6 = """\
address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,hwaddr,state
2001:db8::5,00:01:00:01:2a:00:00:00:00:10:a4:23:19:c0,3600,1795435200,1,1800,0,1,128,,0
"""


def shown(claims: Iterator[Claim] | list[Claim]) -> list[tuple[str, str | None, int | None, int | None]]:
    return [
        (str(each.prefix.network.network_address), each.subject.mac, each.since_ms, each.until_ms) for each in claims
    ]


def test_dnsmasq_leases_of_both_families() -> None:
    until = 1_795_435_200_000
    assert shown(parse_dnsmasq(DNSMASQ)) == [
        ("10.0.0.5", "0010a42319c0", None, until),
        ("10.0.0.6", "0010a42319c1", None, None),
        ("2001:db8::5", "0010a42319c0", None, until),
        ("2001:db8::6", "0010a42319c1", None, until),
    ]


def test_the_last_line_of_kea_counts_for_each_address() -> None:
    assert shown(parse_kea([KEA4])) == [("10.0.0.5", "0010a42319c2", 1_795_435_200_000, 1_795_438_800_000)]


def test_kea_tells_the_mac_in_a_duid() -> None:
    assert shown(parse_kea([KEA6])) == [("2001:db8::5", "0010a42319c0", 1_795_431_600_000, 1_795_435_200_000)]


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ)
    file = LeaseFile(path, kea=False)
    assert len(file.read() or ()) == 4
    assert file.read() is None
    path.write_text("1795435200 00:10:a4:23:19:c9 10.0.0.9 * *\n" + DNSMASQ)
    assert len(file.read() or ()) == 5


def test_what_has_become_shorter_is_believed_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ)
    file = LeaseFile(path, kea=False)
    file.read()
    path.write_text("")  # as dnsmasq leaves it for a moment
    assert file.read() is None
    assert file.read() == []


def test_a_file_that_is_being_written_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ[:30])
    with pytest.raises(Unavailable, match="changes all the time"):
        LeaseFile(path, kea=False).read()


def test_while_kea_tidies_up_all_its_files_count(tmp_path: Path) -> None:
    path = tmp_path / "kea.csv"
    header = KEA4.splitlines()[0]
    path.write_text(f"{header}\n")
    (tmp_path / "kea.csv.2").write_text(KEA4)
    (tmp_path / "kea.csv.1").write_text(f"{header}\n10.0.0.8,00:10:a4:23:19:c8,,3600,1795435200,1,0,0,,0,,0\n")
    assert [address for address, *_ in shown(LeaseFile(path, kea=True).read() or [])] == ["10.0.0.5", "10.0.0.8"]
    (tmp_path / "kea.csv.completed").write_text(f"{header}\n")
    os.utime(path, (1, 1))
    assert LeaseFile(path, kea=True).read() == []


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        LeaseFile(tmp_path / "leases", kea=False).read()


@contextmanager
def kea(path: Path, answers: list[object]) -> Iterator[list[dict[str, object]]]:
    """A server that answers one request a connection, as Kea does."""
    asked: list[dict[str, object]] = []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        for answer in answers:
            sock, _ = server.accept()
            asked.append(json.loads(sock.recv(65_536)))
            sock.sendall(json.dumps(answer).encode())
            sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        thread.join()
        server.close()


def lease(number: int) -> dict[str, object]:
    return {
        "ip-address": f"10.0.{number // 250}.{number % 250}",
        "hw-address": "00:10:a4:23:19:c0",
        "cltt": 1_795_431_600,
        "valid-lft": 3600,
        "state": 0,
    }


def test_keas_socket_is_asked_page_by_page(tmp_path: Path) -> None:
    pages: list[object] = [
        {"result": 0, "arguments": {"leases": [], "count": 0}},
        {"result": 0, "arguments": {"leases": [lease(i) for i in range(1000)], "count": 1000}},
        [{"result": 0, "arguments": {"leases": [lease(1001), {**lease(1002), "state": 1}], "count": 2}}],
    ]
    with kea(tmp_path / "kea.sock", pages) as asked:
        claims = KeaSocket(tmp_path / "kea.sock").read()
    assert len(claims) == 1001
    assert shown(claims[:1]) == [("10.0.0.0", "0010a42319c0", 1_795_431_600_000, 1_795_435_200_000)]
    assert [each["command"] for each in asked] == ["lease4-get-page"] * 3
    assert asked[2]["arguments"] == {"from": "10.0.3.249", "limit": 1000}


def test_a_kea_of_ipv6_is_asked_for_that(tmp_path: Path) -> None:
    six = {"ip-address": "2001:db8::5", "duid": "00:03:00:01:00:10:a4:23:19:c1", "cltt": 1, "valid-lft": 2}
    answers: list[object] = [{"result": 2}, {"result": 0, "arguments": {"leases": [six]}}]
    with kea(tmp_path / "kea.sock", answers):
        assert shown(KeaSocket(tmp_path / "kea.sock").read()) == [("2001:db8::5", "0010a42319c1", 1000, 3000)]


@pytest.mark.parametrize("answers", [[{"result": 2}, {"result": 2}], [{"result": 1}], ["no"]])
def test_a_kea_that_refuses_is_unavailable(tmp_path: Path, answers: list[object]) -> None:
    with kea(tmp_path / "kea.sock", answers), pytest.raises(Unavailable, match="Kea"):
        KeaSocket(tmp_path / "kea.sock").read()


def test_a_kea_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        KeaSocket(tmp_path / "kea.sock").read()
