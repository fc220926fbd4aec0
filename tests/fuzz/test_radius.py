"""Any octets into what reads accounting, leases and inventories: a value or Malformed, and nothing else gets out."""

from contextlib import suppress
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from enforcer.devices.session import Report
from enforcer.devices.sessions import SessionTable
from enforcer.errors import Malformed, Mistakes
from enforcer.identity.inventory import parse_inventory
from enforcer.identity.leases import parse_dnsmasq, parse_kea
from enforcer.identity.radius import Client, Feed
from enforcer.wire.radius import Code, framed, read_packet, request

SECRET = b"testing-secret-32-bytes-minimum!"
KINDS = [4, 8, 26, 30, 31, 32, 33, 40, 41, 44, 46, 55, 80, 95, 97, 123, 168]
ATTRIBUTES = st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=40)), max_size=12)


def feed() -> tuple[Feed, SessionTable]:
    table = SessionTable()

    def take(reports: object) -> bool:
        for report in reports if isinstance(reports, list) else ():
            assert isinstance(report, Report)
            table.apply(report)
        return True

    return Feed("lab", [Client("any", ip_network("192.0.2.0/24"), SECRET)], take), table


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_datagrams_are_answered_or_not(datagrams: list[bytes]) -> None:
    desk, _ = feed()
    answers = desk.receive([(each, ("192.0.2.1", 5)) for each in datagrams], 1_795_435_200_000)
    assert answers == []  # nobody guesses an authenticator


@given(st.lists(ATTRIBUTES, max_size=4))
def test_any_authentic_packets_are_answered_whole_or_not_at_all(packets: list[list[tuple[int, bytes]]]) -> None:
    desk, table = feed()
    for number, attributes in enumerate(packets):
        fitting = [(kind, bytes(16) if kind == 80 else value) for kind, value in attributes]
        packet = request(Code.ACCOUNTING_REQUEST, number, fitting, SECRET)
        for octets, _ in desk.receive([(packet, ("192.0.2.1", 5))], 1_795_435_200_000):
            assert read_packet(octets).id == number
    table.sweep(1_795_435_200_000, 100)


@given(st.binary(max_size=10))
def test_any_stream_is_framed_or_malformed(octets: bytes) -> None:
    with suppress(Malformed):
        assert framed(octets) is None or 20 <= (framed(octets) or 0) <= 4096


@given(st.text(max_size=300))
def test_any_text_is_leases(text: str) -> None:
    list(parse_dnsmasq(text))
    list(parse_kea([text, f"address,hwaddr,valid_lifetime,expire,state\n{text}"]))


@given(st.text(max_size=200), st.sampled_from(["devices.csv", "devices.json"]))
def test_any_text_is_an_inventory_or_mistakes(text: str, name: str) -> None:
    with suppress(Mistakes):
        parse_inventory(text, name, ())
    with suppress(Mistakes):
        parse_inventory(f"DeviceId,IMEI,PhoneNumber,Department\n{text}", name, ())
