"""One normal form for each thing that a network knows a device by."""

import pytest

from enforcer.devices.subject import (
    NOTHING,
    Numbering,
    Subject,
    has_check_digit,
    imei_of,
    imsi_of,
    is_randomised,
    mac_of,
    msisdn_of,
)

CANADA = Numbering("1", "1", 10)


@pytest.mark.parametrize("text", ["0010150123456701", "001015012345671", "001015012345670", "00101501234567"])
def test_one_handset_is_one_imei_however_it_is_written(text: str) -> None:
    assert imei_of(text) == "00101501234567"


@pytest.mark.parametrize(
    "text", ["", "3.5E+14", "0" * 15, "1" * 16, "000000001234567", "1015012345671", "1" * 17, "٣" * 15]
)
def test_placeholders_and_damage_are_no_imei(text: str) -> None:
    assert imei_of(text) is None


def test_the_check_digit_is_luhns() -> None:
    assert has_check_digit("001015012345671")
    assert not has_check_digit("001015012345670")


def test_an_imsi_has_6_to_15_digits() -> None:
    assert [imsi_of(text) for text in ("001010123456789", " 302720 ", "12345", "1" * 16, "abcdefg")] == [
        "001010123456789",
        "302720",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("text", ["16135550123", "+1 (613) 555-0123", "0016135550123", "6135550123", "1-613-555-0123"])
def test_a_number_is_e164_however_it_is_written(text: str) -> None:
    assert msisdn_of(text, CANADA) == "16135550123"


def test_a_trunk_prefix_stands_for_the_country() -> None:
    assert msisdn_of("07700 900123", Numbering("44")) == "447700900123"
    assert msisdn_of("447700900123", Numbering("44")) == "447700900123"


@pytest.mark.parametrize("text", ["", "+", "12ab", "123456", "1" * 16])
def test_what_is_no_number(text: str) -> None:
    assert msisdn_of(text) is None


@pytest.mark.parametrize("text", ["00-10-A4-23-19-C0", "00:10:a4:23:19:c0", "0010.a423.19c0", "0010A42319C0"])
def test_a_mac_is_twelve_digits_however_it_is_written(text: str) -> None:
    assert mac_of(text) == "0010a42319c0"


@pytest.mark.parametrize("text", ["", "00-10:A4-23-19-C0", "0010a42319c", "ff:ff:ff:ff:ff:ff", "000000000000"])
def test_what_is_no_mac(text: str) -> None:
    assert mac_of(text) is None


def test_twelve_digits_can_be_told_from_a_number() -> None:
    assert mac_of("447700900123", bare=False) is None


def test_a_randomised_mac_has_the_local_bit() -> None:
    assert [is_randomised(mac) for mac in ("0210a42319c0", "da10a42319c0", "0010a42319c0", "f410a42319c0")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_subject_may_say_nothing() -> None:
    assert not NOTHING
    assert Subject(mac="0010a42319c0")
    assert not Subject(mac="0010a42319c0").is_mobile
    assert Subject(imsi="001010123456789").is_mobile
