"""Headers of exports: which column is which, whatever its spelling."""

import pytest

from enforcer.identity.exports import csv_rows, group_name, is_export, is_private, json_rows, stable_id


@pytest.mark.parametrize(
    ("header", "exported"),
    [
        ("id,group,addresses,realm", False),
        ("id,group,imei", False),
        ("id,group,adresses", False),
        ("DeviceId,DeviceName,IMEI", True),
        ("Wi-Fi MAC Address,Phone Number,IMEI", True),
        ("display_name,serial_number,udid", True),
        ("name,address", False),
    ],
)
def test_an_export_is_known_by_its_header(header: str, *, exported: bool) -> None:
    assert is_export(header.split(",")) == exported


def test_columns_are_found_by_name_and_rows_by_line() -> None:
    text = 'Phone_Number,"Notes",wifi mac address,IMEI,IMEI2\n"+1 613","two\nlines",aa,1,2\n,,,,\n,x,,1,1\n'
    assert list(csv_rows(text)) == [
        (3, {"msisdn": "+1 613", "mac": "aa", "imei": "1;2"}),
        (5, {"msisdn": "", "mac": "", "imei": "1"}),
    ]


def test_objects_in_objects_and_lists_are_looked_through() -> None:
    text = '{"value": [{"a": {"imei": ["1", "2"]}, "phoneNumber": null, "isSupervised": true}, {"imei": 3}]}'
    assert list(json_rows(text)) == [(1, {"imei": "1;2"}), (2, {"imei": "3"})]


def test_a_cell_that_says_nothing_is_empty() -> None:
    assert list(csv_rows("imei,x\nN/A,1\n")) == [(2, {"imei": ""})]


def test_ids_and_groups() -> None:
    assert stable_id({"id": "a", "hardware": "b"}) == "a"
    assert stable_id({"hardware": "C39"}) == stable_id({"hardware": "c39;other"})
    assert stable_id({}) == ""
    assert group_name("  Santé & Sécurité (Ottawa) ") == "Sante-Securite-Ottawa"


@pytest.mark.parametrize(("ownership", "private"), [("Corporate", False), ("", False), ("Personal", True), ("E", True)])
def test_private_devices(ownership: str, *, private: bool) -> None:
    assert is_private({"ownership": ownership}) == private
