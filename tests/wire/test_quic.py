from contextlib import suppress
from itertools import pairwise, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.quic import FRAMES_MAX, Initials, is_quic
from enforcer.wire.tls import ClientHello
from tests.wire.hellos import big, extension, message, sni
from tests.wire.initials import HELLO, SAMPLES, TO, V1, V2, Sample, crypto, of_aioquic, seal

NAME = b"chat.blocked.test"
MESSAGE = message(sni(NAME))
LARGE = message(extension(51, bytes(1263)), sni(NAME))
EXAMPLE = ClientHello((b"example.com",), (b"alpn",))
PLAIN = ClientHello((NAME,))


def first(*datagrams: bytes) -> ClientHello | None:
    initials = Initials()
    found = [initials.add(each) for each in datagrams]
    assert all(each is None for each in found[:-1])
    return found[-1]


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_packets_that_the_rfcs_show(sample: Sample) -> None:
    packet = seal(crypto(HELLO), sample.version)
    assert packet.hex().startswith(sample.begins)
    assert packet.hex().endswith(sample.tag)
    assert is_quic(packet)
    assert first(packet) == EXAMPLE


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("name", ["chat.blocked.test", None])
def test_what_aioquic_sends(version: int, name: str | None) -> None:
    found = first(*of_aioquic(name, version=version))
    assert found == ClientHello((name.encode(),) if name else (), (b"h3",))


def test_what_aioquic_sends_over_several_datagrams() -> None:
    many = [f"protocol-number-{number}-of-a-long-list" for number in range(60)]
    datagrams = of_aioquic("chat.blocked.test", alpn=many)
    assert len(datagrams) > 1
    found = first(*datagrams)
    assert found is not None
    assert found.names == (NAME,)


@given(cuts=st.lists(st.integers(1, len(LARGE) - 1), max_size=6), seed=st.randoms(use_true_random=False))
def test_pieces_in_any_order_over_any_number_of_datagrams(cuts: list[int], seed: Random) -> None:
    edges = sorted({0, *cuts, len(LARGE)})
    pieces = [crypto(LARGE[a:b], a) for a, b in pairwise(edges)]
    seed.shuffle(pieces)
    assert first(*(seal(piece, number=number) for number, piece in enumerate(pieces))) == PLAIN


def test_two_datagrams_in_either_order_and_twice() -> None:
    one, two = seal(crypto(LARGE[:700])), seal(crypto(LARGE[700:], 700), number=3)
    for pair in permutations((one, two)):
        assert first(*pair) == PLAIN
    assert first(one, one, two) == PLAIN


def test_pieces_that_overlap() -> None:
    assert first(seal(crypto(MESSAGE[:40]) + crypto(MESSAGE[20:], 20) + crypto(MESSAGE[:10]))) == PLAIN


def test_pieces_that_contradict_each_other() -> None:
    with pytest.raises(Malformed):
        first(seal(crypto(MESSAGE[:40]) + crypto(b"another thing", 20)))


def test_two_pieces_at_one_place_that_contradict_each_other() -> None:
    for first_, second in ((MESSAGE[:40], MESSAGE[:39] + b"x"), (MESSAGE[:40], b"x"), (MESSAGE[:9], b"x" * 40)):
        with pytest.raises(Malformed):
            first(seal(crypto(first_) + crypto(second)))


def test_another_connection_is_told_from_what_belongs_to_this_one() -> None:
    initials = Initials()
    assert initials.add(seal(crypto(MESSAGE))) == PLAIN
    acknowledged = b"\x02\0\0\0\0"
    for same in (
        seal(crypto(MESSAGE), number=9),
        seal(crypto(MESSAGE[10:], 10), number=10),
        seal(acknowledged, to=b"theirs", keys_of=TO),
        seal(acknowledged, to=b"theirs", keys_of=b"nobody's"),
        b"\x40" + bytes(40),
        b"",
    ):
        assert not initials.is_other(same)
    for other in (
        seal(crypto(MESSAGE), to=b"another1"),
        seal(crypto(MESSAGE), V2),
        seal(acknowledged, to=b"theirs", keys_of=TO, size=0) + seal(crypto(MESSAGE[:30]), to=b"another2"),
        seal(crypto(MESSAGE[:-1] + b"x")),
        b"\xc3Q050\x08" + bytes(1300),
    ):
        assert initials.is_other(other)


def test_several_packets_in_one_datagram_and_others_between() -> None:
    one, two = (seal(crypto(MESSAGE[a:b], a), number=a, size=0) for a, b in ((0, 50), (50, 200)))
    early = b"\xd0" + V1.to_bytes(4) + b"\x08" + TO + b"\0" + b"\x05early"
    assert first(one + early + two + bytes(900)) == PLAIN
    assert first(early + one + two + b"\x40short") == PLAIN


def test_frames_beside_the_hello_are_skipped() -> None:
    ack = b"\x02\x40\x50\x00\x01\x02\x00\x00" + b"\x03\x01\x00\x00\x00\x01\x01\x01"
    assert first(seal(b"\x01\x00" + ack + crypto(MESSAGE))) == PLAIN
    assert Initials().add(seal(b"\x1c" + crypto(MESSAGE))) is None  # a closed connection goes nowhere


def test_a_retry_begins_again_with_other_keys_and_a_token() -> None:
    initials = Initials()
    assert initials.add(seal(crypto(LARGE[:700]))) is None
    again = seal(crypto(LARGE[:700]), to=b"after-retry", token=b"t" * 70)
    assert initials.add(again) is None
    assert initials.add(seal(crypto(LARGE[700:], 700), to=b"after-retry", number=3)) == PLAIN


def test_the_servers_id_keeps_the_keys() -> None:
    rest = seal(crypto(LARGE[700:], 700), to=b"server", keys_of=TO, number=3)
    assert first(seal(crypto(LARGE[:700])), rest) == PLAIN


def test_what_nobody_can_decrypt_is_passed_over() -> None:
    spoilt = bytearray(seal(crypto(MESSAGE)))
    spoilt[100] ^= 1
    assert first(bytes(spoilt), seal(crypto(MESSAGE))) == PLAIN
    assert Initials().add(seal(crypto(MESSAGE), keys_of=b"other")) is None


@given(cut=st.integers(0, 1199))
def test_a_datagram_cut_short_says_nothing(cut: int) -> None:
    assert Initials().add(seal(crypto(MESSAGE))[:cut]) is None


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x08\x00\x01x", id="a STREAM frame"),
        pytest.param(b"\x06\x00\x41", id="ends inside a number"),
        pytest.param(b"\x06\x00\x4f\xffx", id="ends inside the data"),
        pytest.param(crypto(b"\x02\0\0\1x"), id="a ServerHello"),
        pytest.param(crypto(b"x", 0x4004), id="behind the most that we take"),
        pytest.param(b"\x02\x00\x00\xbf\xff\xff\xff\x00", id="an ACK without end"),
    ],
)
def test_what_no_server_could_read(frames: bytes) -> None:
    with pytest.raises(Malformed):
        Initials().add(seal(frames, size=0))


def test_no_more_pieces_are_held_than_a_few_thousand() -> None:
    initials = Initials()
    numbers = iter(range(1, 20_000, 2))
    with pytest.raises(Malformed):  # noqa: PT012 (which of them is the one too many is its own business)
        for number in range(FRAMES_MAX // 200 + 1):
            initials.add(seal(b"".join(crypto(b"x", next(numbers)) for _ in range(200)), number=number))


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (seal(crypto(MESSAGE)), True),
        (seal(crypto(MESSAGE), V2)[:20], True),
        (b"\xc3Q050\x08" + TO + b"\0" + bytes(1200), None),
        (b"\xc0\xff\x00\x00\x1d\x08" + TO + b"\0" + bytes(1200), None),
        (b"\xc0\xff\x00\x00\x1d\x08" + TO + b"\0", False),
        (b"\xc0\x00\x00\x00\x00\x08" + TO + b"\0" + bytes(1200), False),
        (b"\xc0\xff\x00\x00\x1d\x15" + bytes(1300), False),
        (b"\xc0\xff\x00\x00\x1d\xff", False),
        (b"\x80\x00\x00\x00\x01" + bytes(1200), False),
        (b"\x40" + bytes(1200), False),
        (b"", False),
    ],
)
def test_what_opens_quic(datagram: bytes, expected: bool | None) -> None:
    assert is_quic(datagram) is expected


def test_a_hello_of_a_browser() -> None:
    hello = big(NAME)[5:]
    assert first(seal(crypto(hello[:1100])), seal(crypto(hello[1100:], 1100), number=3)) is not None


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 1199))
def test_any_octets_give_a_value_or_none_or_malformed(data: bytes, at: int) -> None:
    spoilt = bytearray(seal(crypto(MESSAGE)))
    spoilt[at : at + len(data)] = data
    for each in (data, bytes(spoilt), seal(data), b"\xc0\0\0\0\1" + data):
        is_quic(each)
        with suppress(Malformed):
            Initials().add(each)
