"""RADIUS accounting against worked packets, every way of being malformed, and pyrad as a peer."""

import hmac
from contextlib import suppress
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket

from enforcer.errors import Malformed
from enforcer.wire.radius import (
    HEADER,
    Accounting,
    Code,
    StatusType,
    answer,
    framed,
    is_authentic,
    read_accounting,
    read_packet,
    request,
    vendor,
)

SECRET = b"testing-secret-32-bytes-minimum!"
# A Start as a packet gateway sends it; pyrad verifies and tshark decodes the same octets.
START = bytes.fromhex(
    "042a00c0302a02c4916ac53750db0bbf3ce2eb18280600000001"
    "2c12433030303032303130413142324333442012706777312e61706e2e6578616d706c65"
    "0406c000020108060a141e28610c004020010db8002000301e0c676f762e6d6f62696c65"
    "1f0d313631333535353031323337066540438029060000000"
    "01a17000028af01113030313031303132333435363738391a0d000028af12073030313031"
    "1a18000028af1412303031303135303132333435363730311a09000028af150306"
)
ATTRIBUTES = START[HEADER:]
RESPONSE = bytes.fromhex("052a001466f4be4ca83d08bfee807f5fecc2260c")
ACCOUNTING_ON = bytes.fromhex(
    "04010036697528a88ede3fb0c0ea40c1b8a9077a2806000000072c0a30303030303030302012706777312e61706e2e6578616d706c65"
)
STATUS, SESSION = (40, b"\0\0\0\1"), (44, b"s1")


def accounting(*attributes: tuple[int, bytes]) -> Accounting:
    return read_accounting(read_packet(request(Code.ACCOUNTING_REQUEST, 1, [STATUS, SESSION, *attributes], SECRET)))


def test_the_worked_start_is_read() -> None:
    packet = read_packet(START)
    assert (packet.code, packet.id, len(packet.octets)) == (Code.ACCOUNTING_REQUEST, 0x2A, 192)
    assert is_authentic(packet, SECRET)
    found = read_accounting(packet)
    found.seen.clear()
    assert found == Accounting(
        status=StatusType.START,
        session="C00002010A1B2C3D",
        nas_id="pgw1.apn.example",
        nas_address="192.0.2.1",
        event_s=1_698_710_400,
        delay_s=0,
        ipv4=IPv4Address("10.20.30.40"),
        prefixes=[(64, 0x20010DB800200030)],
        called="gov.mobile",
        calling="16135550123",
        imsi="001010123456789",
        imeisv="0010150123456701",
        network="00101",
        rat=6,
    )
    assert found.nas == "pgw1.apn.example"


def test_the_worked_start_is_answered() -> None:
    assert answer(read_packet(START), SECRET) == RESPONSE


def test_the_worked_start_is_written() -> None:
    packet = read_packet(START)
    assert request(Code.ACCOUNTING_REQUEST, 0x2A, packet.attributes, SECRET) == START


def test_the_worked_start_with_a_message_authenticator() -> None:
    packet = read_packet(START)
    proven = request(Code.ACCOUNTING_REQUEST, 0x2A, [(80, bytes(16)), *packet.attributes], SECRET)
    assert proven[2:4] == b"\x00\xd2"
    assert proven[4:HEADER].hex() == "109707632a7a2f9467c1fccd03b5ec73"
    assert proven[HEADER : HEADER + 18].hex() == "5012488e66c7807df1d85baecb42202a54dc"
    assert proven[HEADER + 18 :] == ATTRIBUTES
    assert is_authentic(read_packet(proven), SECRET, proof_required=True)


def test_the_worked_accounting_on() -> None:
    packet = read_packet(ACCOUNTING_ON)
    assert is_authentic(packet, SECRET)
    found = read_accounting(packet)
    assert (found.status, found.session, found.nas) == (StatusType.ON, "00000000", "pgw1.apn.example")


def test_another_secret_proves_nothing() -> None:
    assert not is_authentic(read_packet(START), b"another-secret-32-bytes-minimum!")


def test_every_octet_is_protected() -> None:
    for at in range(len(START)):
        changed = bytearray(START)
        changed[at] ^= 1
        try:
            packet = read_packet(bytes(changed))
        except Malformed:
            continue
        assert not is_authentic(packet, SECRET)


def test_proof_can_be_demanded() -> None:
    assert not is_authentic(read_packet(START), SECRET, proof_required=True)


def test_wrong_proof_is_refused_where_none_is_demanded() -> None:
    wrong = request(Code.ACCOUNTING_REQUEST, 1, [STATUS, SESSION, (80, bytes(16))], SECRET)
    octets = wrong[:4] + bytes(16) + wrong[HEADER:-1] + b"\0"
    octets = octets[:4] + md5(octets + SECRET).digest() + octets[HEADER:]
    assert not is_authentic(read_packet(octets), SECRET)


def test_status_server_needs_proof() -> None:
    chance = bytes(range(16))
    proven = request(Code.STATUS_SERVER, 7, [(80, bytes(16))], SECRET, authenticator=chance)
    bare = request(Code.STATUS_SERVER, 7, [], SECRET, authenticator=chance)
    assert is_authentic(read_packet(proven), SECRET)
    assert not is_authentic(read_packet(proven), SECRET + b"!")
    assert not is_authentic(read_packet(bare), SECRET)


def test_an_answer_carries_what_proxies_sent() -> None:
    asked = request(Code.ACCOUNTING_REQUEST, 9, [STATUS, SESSION, (33, b"one"), (80, bytes(16)), (33, b"two")], SECRET)
    given = answer(read_packet(asked), SECRET)
    assert read_packet(given).attributes == ((33, b"one"), (33, b"two"))
    assert given[4:HEADER] == md5(given[:4] + asked[4:HEADER] + given[HEADER:] + SECRET).digest()


def test_an_answer_to_status_server_has_proof() -> None:
    asked = request(Code.STATUS_SERVER, 7, [(80, bytes(16))], SECRET, authenticator=bytes(range(16)))
    given = answer(read_packet(asked), SECRET)
    place = read_packet(given).proof
    assert (given[0], place) == (Code.ACCOUNTING_RESPONSE, HEADER + 2)
    zeroed = given[:4] + asked[4:HEADER] + given[HEADER : HEADER + 2] + bytes(16)
    assert given[HEADER + 2 :] == hmac.digest(SECRET, zeroed, "md5")
    assert given[4:HEADER] == md5(given[:4] + asked[4:HEADER] + given[HEADER:] + SECRET).digest()


def test_padding_behind_the_packet_is_ignored() -> None:
    assert read_packet(START + b"padding") == read_packet(START)


def test_every_prefix_of_a_packet_is_malformed() -> None:
    for cut in range(len(START)):
        with pytest.raises(Malformed):
            read_packet(START[:cut])


def test_a_stream_is_cut_into_packets() -> None:
    assert [framed(START[:cut]) for cut in (0, 3, 4, 192)] == [None, None, 192, 192]
    for length in (0, 19, 4097, 65_535):
        with pytest.raises(Malformed):
            framed(b"\x04\x01" + length.to_bytes(2))


def raw(attributes: bytes) -> bytes:
    return bytes((4, 1)) + (HEADER + len(attributes)).to_bytes(2) + bytes(16) + attributes


GOOD = b"\x28\x06\0\0\0\1\x2c\x04s1"
THREE_GPP = b"\0\0\x28\xaf"


@pytest.mark.parametrize(
    "attributes",
    {
        "attribute of length 0": b"\x1e\x00",
        "attribute of length 1": b"\x1e\x01x",
        "attribute without length": b"\x1e",
        "attribute past the end": b"\x1e\x09abc",
        "vendor-specific of 6": b"\x1a\x06" + THREE_GPP,
        "sub-attribute of length 1": b"\x1a\x09" + THREE_GPP + b"\x01\x01x",
        "sub-attribute without length": b"\x1a\x07" + THREE_GPP + b"\x01",
        "sub-attribute past its attribute": b"\x1a\x09" + THREE_GPP + b"\x01\x04x",
        "address of 3": b"\x08\x05\x0a\0\0",
        "address of 16": b"\x08\x12" + bytes(16),
        "prefix of 129 bits": b"\x61\x14\x00\x81" + bytes(16),
        "prefix shorter than its length": b"\x61\x08\x00\x40\x20\x01\x0d\xb8",
        "prefix without octets": b"\x61\x04\x00\x40",
        "prefix without length": b"\x61\x03\x00",
        "prefix of too many octets": b"\x61\x15\x00\x40" + bytes(17),
        "bits behind the prefix": b"\x61\x0c\x00\x3f" + bytes(7) + b"\x01",
        "octets behind the prefix": b"\x61\x14\x00\x40" + bytes(15) + b"\x01",
        "IPv6 address of 15": b"\xa8\x11" + bytes(15),
        "two message authenticators": 2 * (b"\x50\x12" + bytes(16)),
        "message authenticator of 15": b"\x50\x11" + bytes(15),
        "two status types": b"\x28\x06\0\0\0\2",
        "number of 3": b"\x2e\x05\0\0\1",
        "indicator of 2": b"\x1a\x0a" + THREE_GPP + b"\x0b\x04\xff\xff",
    }.values(),
    ids=lambda value: value.hex()[:16],
)
def test_what_is_malformed_is_malformed_as_a_whole(attributes: bytes) -> None:
    with pytest.raises(Malformed):
        read_accounting(read_packet(raw(GOOD + attributes)))


@pytest.mark.parametrize("attributes", [b"", b"\x2c\x04s1", b"\x28\x06\0\0\0\1", b"\x28\x06\0\0\0\1\x2c\x03\xff"])
def test_a_status_and_a_session_may_not_be_missing(attributes: bytes) -> None:
    with pytest.raises(Malformed):
        read_accounting(read_packet(raw(attributes)))


def test_text_that_is_none_is_left_out_alone() -> None:
    found = accounting((31, b"\xff\xfe"), (30, b"gov\0"), (32, b"pgw\n1"))
    assert (found.calling, found.called, found.nas) == (None, "gov", None)


@pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.254", "255.255.255.255"])
def test_what_is_no_address_binds_nothing(address: str) -> None:
    assert accounting((8, IPv4Address(address).packed)).ipv4 is None


def test_a_prefix_may_be_trimmed_or_padded() -> None:
    short, long = bytes.fromhex("004020010db800200030"), bytes.fromhex("004020010db800200030") + bytes(8)
    found = accounting((97, short), (123, long), (97, b"\0\0"))
    assert found.prefixes == [(64, 0x20010DB800200030), (64, 0x20010DB800200030), (0, 0)]


def test_one_attribute_may_hold_several_of_3gpp() -> None:
    _, both = vendor(1, b"001010123456789")
    found = accounting((26, both + b"\x14\x12" + b"0010150123456701" + b"\x0b\x03\xff" + b"\x0a\x03" + b"5"))
    assert (found.imsi, found.imeisv, found.last_bearer, found.bearer) == (
        "001010123456789",
        "0010150123456701",
        True,
        "5",
    )


def test_location_and_time_zone_are_stepped_over() -> None:
    found = accounting(vendor(22, b"secret place"), vendor(23, b"\x40\x01"), (26, b"\0\0\0\x09\x01anything at all"))
    assert found.seen == {"status", "session"}


def test_wifi_names_an_ipv6_address() -> None:
    found = accounting(
        (168, IPv6Address("2001:db8::9").packed), (31, b"00-10-A4-23-19-C0"), (95, IPv6Address("::1").packed)
    )
    assert (found.ipv6, found.calling, found.nas) == (IPv6Address("2001:db8::9"), "00-10-A4-23-19-C0", "::1")


def test_accounting_that_is_not_of_sessions_has_no_status() -> None:
    packet = read_packet(raw(b"\x28\x06\0\0\0\x0f"))
    assert read_accounting(packet).status is None


def test_pyrad_writes_what_we_read() -> None:
    made = AcctPacket(id=5, secret=SECRET, dict=Dictionary())
    made[40], made[44], made[8] = [b"\0\0\0\3"], [b"s9"], [IPv4Address("10.0.0.7").packed]
    made.add_message_authenticator()
    packet = read_packet(made.RequestPacket())
    assert is_authentic(packet, SECRET, proof_required=True)
    found = read_accounting(packet)
    assert (found.status, found.session, found.ipv4) == (StatusType.INTERIM, "s9", IPv4Address("10.0.0.7"))
    assert made.VerifyReply(made.CreateReply(packet=answer(packet, SECRET)), answer(packet, SECRET))


@given(st.binary(max_size=300))
def test_any_octets_are_a_packet_or_malformed(octets: bytes) -> None:
    with suppress(Malformed):
        packet = read_packet(octets)
        is_authentic(packet, SECRET)
        answer(packet, SECRET)
        read_accounting(packet)


@given(
    st.lists(st.tuples(st.sampled_from([8, 26, 30, 31, 40, 44, 46, 55, 97, 168]), st.binary(max_size=20)), max_size=8)
)
def test_any_attributes_are_read_or_malformed(attributes: list[tuple[int, bytes]]) -> None:
    packet = read_packet(request(Code.ACCOUNTING_REQUEST, 3, attributes, SECRET))
    assert packet.attributes == tuple(attributes)
    assert is_authentic(packet, SECRET)
    with suppress(Malformed):
        read_accounting(packet)
