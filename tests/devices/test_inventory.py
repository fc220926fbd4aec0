"""Whom identifiers name: handset before SIM before number (R16, R17)."""

import pytest

from enforcer.devices.device import Device
from enforcer.devices.inventory import Found, Inventory, Kind
from enforcer.devices.subject import NOTHING, Subject

ONE, TWO, OLD = Device("dev-1", "field"), Device("dev-2", "field"), Device("dev-old", None)
INVENTORY = Inventory(
    (ONE, TWO, OLD),
    {
        (Kind.IMEI, "00101501234567"): ONE,
        (Kind.IMSI, "001010000000001"): ONE,
        (Kind.MSISDN, "16135550001"): ONE,
        (Kind.MAC, "0010a42319c0"): ONE,
        (Kind.IMEI, "00101501234568"): TWO,
        (Kind.IMSI, "001010000000002"): TWO,
        (Kind.TUNNEL, "peer-key"): TWO,
        (Kind.MSISDN, "16135550009"): OLD,
    },
)


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        (Subject(imei="00101501234567", imsi="001010000000001"), Found(ONE)),
        (Subject(imei="00101501234567"), Found(ONE)),
        (Subject(imsi="001010000000001"), Found(ONE)),
        (Subject(msisdn="16135550001"), Found(ONE)),
        (Subject(mac="0010a42319c0"), Found(ONE)),
        (Subject(tunnel="peer-key"), Found(TWO)),
        (Subject(imsi="001019999999999"), Found(None, (Kind.IMSI, "001019999999999"))),
        (Subject(imei="99999901234567"), Found(None, (Kind.IMEI, "99999901234567"))),
        (Subject(mac="0010a4999999"), Found(None, (Kind.MAC, "0010a4999999"))),
        (Subject(tunnel="other"), Found(None, (Kind.TUNNEL, "other"))),
        (NOTHING, None),
    ],
)
def test_each_identifier_names_its_device(subject: Subject, found: Found | None) -> None:
    assert INVENTORY.find(subject) == found


def test_a_sim_that_moved_is_of_the_handset_it_is_in() -> None:
    assert INVENTORY.find(Subject(imei="00101501234568", imsi="001010000000001")) == Found(TWO, moved_from=ONE)


def test_a_sim_in_a_private_phone_makes_that_no_device_of_ours() -> None:
    assert INVENTORY.find(Subject(imei="99999901234567", imsi="001010000000001")) == Found(
        None, (Kind.IMEI, "99999901234567"), moved_from=ONE
    )


def test_a_number_names_a_device_only_if_nothing_better_is_known_of_it() -> None:
    assert INVENTORY.find(Subject(imsi="001019999999999", msisdn="16135550001")) == Found(
        None, (Kind.IMSI, "001019999999999")
    )
    assert INVENTORY.find(Subject(imsi="001019999999999", msisdn="16135550009")) == Found(OLD)
    assert INVENTORY.find(Subject(imei="99999901234567", msisdn="16135550009")) == Found(OLD)


def test_a_handset_that_no_row_names_is_found_by_its_sim() -> None:
    inventory = Inventory((ONE,), {(Kind.IMSI, "001010000000001"): ONE})
    assert inventory.find(Subject(imei="99999901234567", imsi="001010000000001")) == Found(ONE)


def test_a_randomised_mac_is_not_looked_up() -> None:
    inventory = Inventory((ONE,), {(Kind.MAC, "0210a42319c0"): ONE})
    assert inventory.find(Subject(mac="0210a42319c0")) == Found(None, (Kind.MAC, "0210a42319c0"))
