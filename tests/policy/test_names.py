import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.policy.names import ROOT, display, parse, wire

LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)
NAMES = st.lists(LABELS, min_size=1, max_size=8).map(".".join).filter(lambda text: len(text) <= 253)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("wechat.com", b"\x06wechat\x03com\0"),
        ("WeChat.COM.", b"\x06wechat\x03com\0"),
        ("_dns.resolver.arpa", b"\x04_dns\x08resolver\x04arpa\0"),
        ("bücher.test", b"\x0dxn--bcher-kva\x04test\0"),
        ("BÜCHER.test", b"\x0dxn--bcher-kva\x04test\0"),
        ("微信。test", b"\x0bxn--vuqz89a\x04test\0"),
        ("xn--vuqz89a.test", b"\x0bxn--vuqz89a\x04test\0"),
        (".", ROOT),
    ],
)
def test_a_name_has_one_form(text: str, name: bytes) -> None:
    assert parse(text) == name


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("wechat,com", "wechat.com"),
        ("https://WeChat.com/download?x=1", "wechat.com"),
        ("user@wechat.com", "wechat.com"),
        ("wechat.com:443", "wechat.com"),
        ("*.wechat.com", "wechat.com"),
        (".wechat.com", "wechat.com"),
        ("we..chat", "we.chat"),
        (" wechat.com ", "wechat.com"),
        ("微信,com", "微信.com"),
    ],
)
def test_a_slip_is_answered_with_what_was_probably_meant(text: str, guess: str) -> None:
    with pytest.raises(Malformed) as error:
        parse(text)
    assert error.value.what == f'"{text}" is not a domain name; did you mean "{guess}"?'


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["x-" * 200_000, "".join(map(chr, range(0x4E00, 0x9000))), "é." * 200_000])
def test_what_is_far_too_long_for_a_name_is_refused_at_once(text: str) -> None:
    with pytest.raises(Malformed, match="is not a domain name"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["", "..", "a" * 64 + ".test", "a." * 127 + "test", "2001:db8::1", "i❤.test", "a\0b", "ـa.test"]
)
def test_what_cannot_be_guessed_is_refused_without_a_guess(text: str) -> None:
    with pytest.raises(Malformed, match=r"is not a domain name$"):
        parse(text)


def test_the_longest_name_and_label_are_names() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(parse(longest)) == 255
    with pytest.raises(Malformed):
        parse(longest + "d")


@given(NAMES)
def test_parse_undoes_display(text: str) -> None:
    name = parse(text)
    assert parse(display(name)) == name


@given(NAMES)
def test_letter_case_and_a_final_dot_never_matter(text: str) -> None:
    assert parse(text.upper() + ".") == parse(text)


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        name = parse(text)
    except Malformed:
        return
    assert name == name.lower()
    assert parse(display(name)) == name


@given(st.binary(max_size=300))
def test_the_quick_way_agrees_with_the_careful_one(text: bytes) -> None:
    name = wire(text)
    if name is not None:
        assert name == parse(text.decode())


def on_the_wire(labels: list[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


LABEL_LISTS = st.lists(st.binary(min_size=1, max_size=4) | st.sampled_from([b".", b"a", b"\\", b"a.a"]), max_size=4)


@given(LABEL_LISTS, LABEL_LISTS)
def test_what_is_shown_tells_any_two_names_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (one == other) == (display(on_the_wire(one)) == display(on_the_wire(other)))


@given(LABEL_LISTS)
def test_what_is_shown_is_printable_ascii_without_blanks(labels: list[bytes]) -> None:
    shown = display(on_the_wire(labels))
    assert shown.isascii()
    assert shown.isprintable()
    assert " " not in shown


def test_a_dot_inside_of_a_label_is_shown_as_such() -> None:
    assert display(b"\x0awechat.com\0") == r"wechat\.com"
    assert display(b"\x06wechat\x03com\0") == "wechat.com"


def test_octets_that_do_not_print_are_shown_as_three_digits() -> None:
    assert display(b"\x05a\\ \xff\0\x01b\0") == r"a\\\032\255\000.b"


def test_the_root_is_a_dot() -> None:
    assert display(ROOT) == "."
