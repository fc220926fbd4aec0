from collections.abc import Callable

import dns.exception
import dns.name
import pytest
from dnslib.buffer import BufferError as DnslibError
from dnslib.label import DNSBuffer
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.name import Name, labels, parents, read_name, skip_name, spell_out

HEADER = bytes(12)


def wire(*parts: bytes) -> bytes:
    """The wire form of a name with these labels."""
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


# Octets that read as names often: labels, roots, pointers anywhere in a small message, and octets of any kind.
PIECES = st.one_of(
    st.binary(min_size=1, max_size=3).map(lambda label: bytes([len(label)]) + label),
    st.just(b"\0"),
    st.integers(0, 60).map(lambda target: (0xC000 | target).to_bytes(2)),
    st.binary(max_size=2),
)
MESSAGES = st.lists(PIECES, max_size=25).map(lambda pieces: HEADER + b"".join(pieces))
NAMES = (
    st.lists(st.binary(min_size=1, max_size=63), max_size=8)
    .map(lambda parts: wire(*parts))
    .filter(lambda name: len(name) <= 255)
)
READERS: list[Callable[[bytes, int], object]] = [read_name, skip_name]


def test_rfc1035_4_1_4_the_example_of_compression() -> None:
    message = bytearray(93)
    message[20:32] = wire(b"F", b"ISI", b"ARPA")
    message[40:46] = b"\x03FOO\xc0\x14"
    message[64:66] = b"\xc0\x1a"
    assert read_name(bytes(message), 20) == (wire(b"f", b"isi", b"arpa"), 32)
    assert read_name(bytes(message), 40) == (wire(b"foo", b"f", b"isi", b"arpa"), 46)
    assert read_name(bytes(message), 64) == (wire(b"arpa"), 66)
    assert read_name(bytes(message), 92) == (wire(), 93)
    assert skip_name(bytes(message), 40) == 46


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "name", [b"\xc0\x0e\x01a\0", b"\x01a\xc0\x10\x01b\0"], ids=["behind the name", "behind its labels"]
)
def test_rfc1035_4_1_4_a_forward_pointer_is_malformed(read: Callable[[bytes, int], object], name: bytes) -> None:
    with pytest.raises(Malformed, match="not before it"):
        read(HEADER + name, 12)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", [b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x01a\x01b\xc0\x0e"])
def test_rfc1035_4_1_4_a_pointer_into_its_own_name_is_malformed(
    read: Callable[[bytes, int], object], name: bytes
) -> None:
    with pytest.raises(Malformed, match="not before it"):
        read(HEADER + name, 12)


def test_rfc1035_4_1_4_two_pointers_that_lead_to_each_other_are_malformed() -> None:
    with pytest.raises(Malformed, match="not before it"):
        read_name(HEADER + b"\xc0\x0e\xc0\x0c", 14)


@pytest.mark.parametrize(
    "run", [b"\x02a", b"\x03a\xc0\x0c", b"\x01a"], ids=["across its border", "across a pointer", "up to its pointer"]
)
def test_rfc1035_4_1_4_a_pointer_to_labels_that_do_not_end_before_it_is_malformed(run: bytes) -> None:
    pointing = 12 + len(run)
    with pytest.raises(Malformed, match="ends behind"):
        read_name(HEADER + run + b"\x01b\xc0\x0c" + bytes(9), pointing)


@pytest.mark.parametrize("read", READERS)
def test_rfc1035_4_1_4_a_pointer_into_the_header_is_malformed(read: Callable[[bytes, int], object]) -> None:
    with pytest.raises(Malformed, match="in the header"):
        read(b"\x01a\0" + bytes(9) + b"\xc0\x00", 12)


def test_rfc1035_4_1_4_as_many_pointers_as_labels_are_followed_and_no_more() -> None:
    message = HEADER + b"\0" + b"".join((0xC000 | max(12, 11 + 2 * i)).to_bytes(2) for i in range(128))
    assert read_name(message, 13 + 2 * 126) == (b"\0", 13 + 2 * 127)
    with pytest.raises(Malformed, match="127 pointers"):
        read_name(message, 13 + 2 * 127)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("octet", [0x40, 0x41, 0x7F, 0x80, 0xBF])
def test_rfc1035_3_1_octets_from_0x40_to_0xbf_are_no_lengths(read: Callable[[bytes, int], object], octet: int) -> None:
    with pytest.raises(Malformed, match="neither a length nor a pointer"):
        read(HEADER + b"\x01a" + bytes([octet]) + bytes(200), 12)


@pytest.mark.parametrize("read", READERS)
def test_rfc1035_3_1_a_name_has_at_most_255_octets(read: Callable[[bytes, int], object]) -> None:
    longest = wire(b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61)
    assert len(longest) == 255
    read(HEADER + longest, 12)
    with pytest.raises(Malformed, match="255"):
        read(HEADER + wire(b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 62), 12)


def test_rfc1035_3_1_pointers_do_not_lengthen_a_name_beyond_255_octets() -> None:
    long = wire(b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 59)
    assert len(long) == 253
    message = HEADER + long + b"\x01x\xc0\x0c" + b"\x02xx\xc0\x0c"
    assert read_name(message, 12 + 253) == (b"\x01x" + long, 12 + 253 + 4)
    with pytest.raises(Malformed, match="255"):
        read_name(message, 12 + 253 + 4)


def test_rfc2181_11_labels_are_any_octets_and_a_dot_in_a_label_divides_nothing() -> None:
    name = wire(b"wechat.com", b"\x00\xff\xc0", b"Test")
    assert read_name(HEADER + name, 12)[0] == wire(b"wechat.com", b"\x00\xff\xc0", b"test")
    assert read_name(HEADER + name, 12)[0] != wire(b"wechat", b"com", b"\x00\xff\xc0", b"test")


def test_rfc4343_only_ascii_letters_have_a_second_case() -> None:
    everything = wire(bytes(range(63)), bytes(range(63, 126)), bytes(range(126, 189)))
    expected = wire(bytes(range(63)), bytes(range(63, 126)).lower(), bytes(range(126, 189)))
    assert read_name(HEADER + everything, 12)[0] == expected
    assert spell_out(HEADER + everything, 12)[0] == everything


@given(NAMES, st.binary(max_size=3))
def test_reading_undoes_writing(name: bytes, after: bytes) -> None:
    assert spell_out(HEADER + name + after, 12) == (name, 12 + len(name))
    assert read_name(HEADER + name + after, 12) == (name.lower(), 12 + len(name))


@given(NAMES)
def test_every_proper_prefix_is_malformed(name: bytes) -> None:
    for cut in range(len(name)):
        for read in READERS:
            with pytest.raises(Malformed, match="ends inside"):
                read(HEADER + name[:cut], 12)


@given(MESSAGES, st.data())
@example(HEADER + b"\xc0", None)
def test_any_octets_are_a_name_or_malformed_and_skipping_ends_where_reading_does(
    message: bytes, data: st.DataObject | None
) -> None:
    at = 12 if data is None else data.draw(st.integers(12, len(message)))
    try:
        name, end = read_name(message, at)
    except Malformed:
        try:
            assert at < skip_name(message, at) <= len(message)
        except Malformed:
            return
    else:
        assert len(name) <= 255
        assert read_name(HEADER + name, 12) == (name, 12 + len(name))
        assert skip_name(message, at) == end


def as_we_read(message: bytes, at: int) -> tuple[Name, int] | Malformed:
    try:
        return read_name(message, at)
    except Malformed as error:
        return error


def as_dnspython_reads(message: bytes, at: int) -> tuple[Name, int] | None:
    try:
        name, used = dns.name.from_wire(message, at)
    except dns.exception.DNSException:
        return None
    return bytes(name.canonicalize().to_wire() or b""), at + used


def as_dnslib_reads(message: bytes, at: int) -> tuple[Name, int] | None:
    buffer = DNSBuffer(message)
    buffer.offset = at
    try:
        parts = tuple(bytes(part) for part in buffer.decode_name().label)
    except (DnslibError, RecursionError):
        return None
    if any(len(part) > 63 for part in parts):  # it takes 0x40-0xBF for lengths
        return None
    return wire(*parts).lower(), int(buffer.offset)


@given(MESSAGES, st.data())
def test_dnspython_and_dnslib_read_the_same_name(message: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(12, len(message)))
    theirs = as_dnspython_reads(message, at)
    ours = as_we_read(message, at)
    if isinstance(ours, Malformed):
        assert theirs is None or "in the header" in ours.what or "ends behind" in ours.what
    else:
        assert theirs == ours
        assert as_dnslib_reads(message, at) in (ours, None)


def test_labels_are_listed_from_left_to_right() -> None:
    assert labels(wire(b"www", b"example", b"test")) == (b"www", b"example", b"test")
    assert labels(b"\0") == ()


@given(NAMES)
def test_parents_end_at_the_root_and_each_has_a_label_less(name: bytes) -> None:
    line = [name, *parents(name)]
    assert line[-1] == b"\0"
    assert [labels(each) for each in line] == [labels(name)[cut:] for cut in range(len(labels(name)) + 1)]
