from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.cookies import COOKIE, Cookie, Cookies, read_cookie, read_secrets
from enforcer.errors import Malformed

# The test vectors of RFC 9018 appendix A.
V4 = ip_address("198.51.100.100").packed
SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
CLIENT = bytes.fromhex("2464c4abcf10c957")
LEARNED = bytes.fromhex("010000005cf79f111f8130c3eee29480")
NOW = 0x5CF79F11


def test_e8_rfc_9018_a1_learning_a_new_server_cookie() -> None:
    assert Cookies((SECRET,)).answer(Cookie(CLIENT, b""), V4, NOW) == CLIENT + LEARNED


def test_e8_rfc_9018_a2_the_same_client_learning_a_renewed_server_cookie() -> None:
    old, now = Cookie(CLIENT, LEARNED), 0x5CF7A871
    assert Cookies((SECRET,)).is_ours(old, V4, now)
    assert Cookies((SECRET,)).answer(old, V4, now) == CLIENT + bytes.fromhex("010000005cf7a871d4a564a1442aca77")


def test_e8_rfc_9018_a3_another_client_whose_cookie_has_reserved_octets() -> None:
    client, address, now = bytes.fromhex("fc93fc62807ddb86"), ip_address("203.0.113.203").packed, 0x5CF7A9AC
    old = Cookie(client, bytes.fromhex("01abcdef5cf78f71a314227b6679ebf5"))
    assert Cookies((SECRET,)).is_ours(old, address, 0x5CF78F71)
    renewed = client + bytes.fromhex("010000005cf7a9acf73a7810aca2381e")
    assert Cookies((SECRET,)).answer(old, address, now) == renewed


def test_e8_rfc_9018_a4_version_6_and_a_secret_that_was_rolled() -> None:
    client, address = bytes.fromhex("22681ab97d52c298"), ip_address("2001:db8:220:1:59de:d0f4:8769:82b8").packed
    old, new = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715"), bytes.fromhex("445536bcd2513298075a5d379663c962")
    shown, now = Cookie(client, bytes.fromhex("010000005cf7c57926556bd0934c72f8")), 0x5CF7C609
    renewed = client + bytes.fromhex("010000005cf7c609a6bb79d16625507a")
    assert Cookies((old,)).is_ours(shown, address, now)
    assert Cookies((old, new)).answer(shown, address, now) == client + shown.server, "stage 1: the new one waits"
    assert Cookies((new, old)).is_ours(shown, address, now), "stage 2: the old one is still accepted"
    assert Cookies((new, old)).answer(shown, address, now) == renewed
    assert not Cookies((new,)).is_ours(shown, address, now), "stage 3"
    assert Cookies((old, new)).is_ours(Cookie(client, renewed[8:]), address, now), "a server that is a stage behind"


@pytest.mark.parametrize(("age", "ours"), [(-301, False), (-300, True), (0, True), (3600, True), (3601, False)])
def test_e8_a_cookie_lasts_an_hour_and_clocks_may_differ_by_five_minutes(age: int, ours: bool) -> None:
    made = Cookie(CLIENT, Cookies((SECRET,)).answer(Cookie(CLIENT, b""), V4, NOW)[8:])
    assert Cookies((SECRET,)).is_ours(made, V4, NOW + age) is ours


@pytest.mark.parametrize(("age", "same"), [(0, True), (1800, True), (1801, False)])
def test_e8_the_same_cookie_is_given_for_half_an_hour(age: int, same: bool) -> None:
    made = Cookies((SECRET,)).answer(Cookie(CLIENT, b""), V4, NOW)
    assert (Cookies((SECRET,)).answer(Cookie(CLIENT, made[8:]), V4, NOW + age) == made) is same


def test_e8_time_goes_on_when_its_32_bits_are_used_up() -> None:
    cookies = Cookies((SECRET,))
    made = Cookie(CLIENT, cookies.answer(Cookie(CLIENT, b""), V4, 2**32 - 10)[8:])
    assert cookies.is_ours(made, V4, 2**32 + 100)


def test_e8_a_cookie_is_for_one_address_and_one_client_cookie() -> None:
    cookies = Cookies((SECRET,))
    server = cookies.answer(Cookie(CLIENT, b""), V4, NOW)[8:]
    assert not cookies.is_ours(Cookie(CLIENT, server), bytes(4), NOW)
    assert not cookies.is_ours(Cookie(bytes(8), server), V4, NOW)
    assert not cookies.is_ours(Cookie(CLIENT, server[:-1]), V4, NOW)
    assert not cookies.is_ours(Cookie(CLIENT, b"\2" + server[1:]), V4, NOW)


@given(st.binary(max_size=50))
def test_e8_only_8_and_16_to_40_octets_make_a_cookie(data: bytes) -> None:
    options = ((3, b""), (COOKIE, data))
    if len(data) == 8 or 16 <= len(data) <= 40:
        assert read_cookie(options) == Cookie(data[:8], data[8:])
    else:
        with pytest.raises(Malformed):
            read_cookie(options)


def test_without_the_option_there_is_no_cookie() -> None:
    assert read_cookie(((3, b""),)) is None


def test_secrets_are_read_in_order_and_comments_passed_over() -> None:
    assert read_secrets(f"# ours\n{SECRET.hex()}  # in use\n\n{'0' * 32}\n") == (SECRET, bytes(16))


@pytest.mark.parametrize("text", ["", "# nothing\n", "abc\n", f"{'0' * 31}\n", f"{'0' * 34}\n", "password\n"])
def test_what_is_no_secret_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="write 32 hexadecimal digits") as failed:
        read_secrets(text)
    assert "password" not in str(failed.value)
