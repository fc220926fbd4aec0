"""devices.csv: every line right, or every wrong line named."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.config.policy import Realm
from enforcer.devices.device import Binding, Device, Source
from enforcer.devices.inventory import Inventory, Kind
from enforcer.devices.networks import Networks
from enforcer.devices.subject import Numbering
from enforcer.errors import Mistake, Mistakes, Unavailable
from enforcer.identity.inventory import parse_inventory, read_inventory

ROOT = Path(__file__).parents[2]
APN = Realm.model_validate({"name": "apn", "networks": ["10.20.0.0/16", "2001:db8:20::/48"], "listeners": ["dns"]})
WIFI = Realm.model_validate({"name": "wifi", "networks": ["10.20.0.0/16"], "listeners": ["dns2"]})


def parsed(text: str, *realms: Realm) -> list[tuple[str, str, str | None, str | None]]:
    """The bindings of a text, as (realm, network, device, group)."""
    found = parse_inventory(text, "devices.csv", realms or (APN,))
    return [(b.realm, str(b.network), b.device, b.group) for b in found.bindings]


def wrong(text: str, *realms: Realm) -> list[str]:
    """All that is wrong with a text, each as `LINE: …`."""
    with pytest.raises(Mistakes) as caught:
        parse_inventory(text, "devices.csv", realms or (APN,))
    assert {mistake.file for mistake in caught.value.mistakes} == {"devices.csv"}
    return [f"{mistake.line}: {mistake.what}" for mistake in caught.value.mistakes]


def test_a_device_has_addresses_apart_by_spaces_or_semicolons() -> None:
    text = "id,group,addresses\ndev-1,field,10.20.0.5 2001:db8:20::5\ndev-2,,10.20.0.6;10.20.0.7 ; 10.20.0.8\n"
    assert parsed(text) == [
        ("apn", "10.20.0.5/32", "dev-1", "field"),
        ("apn", "2001:db8:20::5/128", "dev-1", "field"),
        ("apn", "10.20.0.6/32", "dev-2", None),
        ("apn", "10.20.0.7/32", "dev-2", None),
        ("apn", "10.20.0.8/32", "dev-2", None),
    ]


def test_every_binding_comes_from_the_network() -> None:
    (found,) = parse_inventory("id,group,addresses\ndev-1,field,10.20.0.5\n", "devices.csv", (APN,)).bindings
    assert found == Binding("apn", ip_network("10.20.0.5"), "dev-1", "field", Source.NETWORK)


def test_a_group_has_networks_and_a_device_its_own_ipv6_prefix() -> None:
    text = "id,group,addresses\n,field,10.20.8.0/24 10.20.0.9\ndev-1,field,2001:db8:20:30::/64\n"
    assert parsed(text) == [
        ("apn", "10.20.8.0/24", None, "field"),
        ("apn", "10.20.0.9/32", None, "field"),
        ("apn", "2001:db8:20:30::/64", "dev-1", "field"),
    ]


def test_columns_stand_in_any_order_and_any_case() -> None:
    assert parsed("Addresses, REALM ,Group,ID\n10.20.0.5,apn,field,dev-1\n") == [
        ("apn", "10.20.0.5/32", "dev-1", "field")
    ]


def test_what_spreadsheets_and_editors_write_is_read() -> None:
    rows = [
        "# devices",
        "",
        "id,group,addresses,realm",
        '"dev-1","field","10.20.0.5; 10.20.0.6",',
        ",,,",
        "   ",
        "  # old",
    ]
    text = "\r\n".join([*rows, "dev-2,field,10.20.0.7"])
    assert [device for _, _, device, _ in parsed(text)] == ["dev-1", "dev-1", "dev-2"]


def test_with_several_realms_each_line_names_its_own() -> None:
    text = (
        "id,group,addresses,realm\ndev-1,field,10.20.0.5,apn\ndev-2,field,10.20.0.5,wifi\ndev-1,field,10.20.0.6,wifi\n"
    )
    assert [(realm, device) for realm, _, device, _ in parsed(text, APN, WIFI)] == [
        ("apn", "dev-1"),
        ("wifi", "dev-2"),
        ("wifi", "dev-1"),
    ]


def test_one_address_twice_on_lines_of_one_device_is_one_binding() -> None:
    assert len(parsed("id,group,addresses\ndev-1,a,10.20.0.5 10.20.0.5\ndev-1,a,10.20.0.5\n")) == 1


HEADER = "id,group,addresses\n"
MISSING = 'column "{}" is missing; write "id,group,addresses"'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("dev 1,a,10.20.0.5", '"dev 1" is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -'),
        ("dev-1,é,10.20.0.5", '"é" is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -'),
        (f"{'x' * 65},a,10.20.0.5", f'"{"x" * 65}" is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -'),
        (",,10.20.0.5", "neither id nor group; write whose the addresses are"),
        ("dev-1,a,", 'no address; write one, as in "10.20.0.5"'),
        ("dev-1,a", 'no address; write one, as in "10.20.0.5"'),
        (
            "dev-1,a,10.20.0.300",
            '"10.20.0.300" is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"',
        ),
        ("dev-1,a,::ffff:10.20.0.5", '"::ffff:10.20.0.5" is IPv4 in IPv6 form; did you mean "10.20.0.5"?'),
        (",a,10.20.0.5/24", '"10.20.0.5/24" has bits set after its prefix; did you mean "10.20.0.0/24"?'),
        (
            "dev-1,a,10.20.0.0/24",
            '"10.20.0.0/24" is more than one device has; write its addresses, or leave the id empty',
        ),
        (
            "dev-1,a,2001:db8::/47",
            '"2001:db8::/47" is more than one device has; write its addresses, or leave the id empty',
        ),
        (
            "dev-1,a,10.30.0.5",
            '"10.30.0.5" is outside of realm "apn"; write an address in 10.20.0.0/16, 2001:db8:20::/48',
        ),
        (",a,10.0.0.0/8", '"10.0.0.0/8" is outside of realm "apn"; write an address in 10.20.0.0/16, 2001:db8:20::/48'),
        ("dev-1,a,10.20.0.5,10.20.0.6", "4 cells, and 3 columns; part addresses by spaces or semicolons"),
        (
            'dev-1,a,"10.20.0.5',
            "this is not CSV (unexpected end of data); write double quotes in pairs, around whole cells",
        ),
    ],
)
def test_a_wrong_line_says_what_to_write(row: str, said: str) -> None:
    assert wrong(f"{HEADER}{row}\n") == [f"2: {said}"]


def test_an_address_of_two_devices_is_refused_with_both_lines() -> None:
    assert wrong(f"{HEADER}dev-1,a,10.20.0.5\ndev-2,a,10.20.0.6 10.20.0.5\n") == [
        '3: "10.20.0.5" is an address of "dev-1" on line 2; leave it out on one of the lines'
    ]


def test_a_network_of_two_groups_is_refused_with_both_lines() -> None:
    assert wrong(f"{HEADER},a,10.20.8.0/24\n\n,b,10.20.8.0/24\n") == [
        '4: "10.20.8.0/24" is an address of "a" on line 2; leave it out on one of the lines'
    ]


def test_a_device_in_two_groups_is_refused_with_both_lines() -> None:
    assert wrong(f"{HEADER}dev-1,a,10.20.0.5\ndev-1,b,10.20.0.6\n") == [
        '3: "dev-1" is in group "a" on line 2; write one group for one id'
    ]


@pytest.mark.parametrize(
    ("realm", "said"),
    [
        ("", 'no realm, and there are several; write one of "apn", "wifi"'),
        ("wfi", '"wfi" is not a realm; did you mean "wifi"?'),
    ],
)
def test_a_line_is_in_one_realm(realm: str, said: str) -> None:
    assert wrong(f"id,group,addresses,realm\ndev-1,a,10.20.0.5,{realm}\n", APN, WIFI) == [f"2: {said}"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,group,addresess", ['"addresess" is not a column; did you mean "addresses"?', MISSING.format("addresses")]),
        ("id,group,addresses,imeis", ['"imeis" is not a column; did you mean "imei"?']),
        ("id,group,addresses,id", ['column "id" stands here twice; leave one out']),
        (
            "id;group;addresses",
            ['semicolons between the columns; part them by commas, as in "id,group,addresses"'],
        ),
    ],
)
def test_a_wrong_header_is_told_alone(header: str, said: list[str]) -> None:
    assert wrong(f"{header}\nx y,z,nowhere\n") == [f"1: {what}" for what in said]


def test_a_file_without_a_header_is_refused() -> None:
    assert wrong("# nothing\n") == ['1: there is no header; write "id,group,addresses"']
    assert wrong("") == ['1: there is no header; write "id,group,addresses"']


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    assert [mistake.partition(":")[0] for mistake in wrong(f"{HEADER}a b,é,x\n# fine\ndev-1,a,\n,,10.20.0.5\n")] == [
        "2",
        "2",
        "2",
        "4",
        "5",
    ]


def test_a_file_is_read_with_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(f"{HEADER}dev-1,a,10.20.0.5\n", encoding="utf-8-sig")
    assert [b.device for b in read_inventory(path, (APN,)).bindings] == ["dev-1"]


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_bytes(HEADER.encode() + b"dev-1,\xe9,10.20.0.5\n")
    with pytest.raises(Mistakes) as caught:
        read_inventory(path, (APN,))
    assert caught.value.mistakes == (Mistake(str(path), 2, "this is not UTF-8; save the file as CSV UTF-8"),)


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        read_inventory(tmp_path / "devices.csv", (APN,))
    assert str(caught.value) == (
        f"{tmp_path}/devices.csv: cannot be read (No such file or directory); mend identity.inventory.file, "
        "or name another file"
    )


@given(st.text() | st.text(alphabet='id,"group\n;10.20.5 #').map(lambda rows: HEADER + rows))
def test_any_text_gives_a_registry_or_mistakes(text: str) -> None:
    try:
        found = parse_inventory(text, "devices.csv", (APN,))
    except Mistakes as error:
        unhelpful = [mistake for mistake in error.mistakes if ";" not in mistake.what]
    else:
        unhelpful = []
        Networks(found.bindings)
    assert unhelpful == []


def test_the_demo_inventory_names_every_loopback_address_that_the_demo_says() -> None:
    demo = Realm.model_validate({"name": "demo", "networks": ["127.0.0.0/8", "::1"], "listeners": ["dns"]})
    found = read_inventory(ROOT / "deploy" / "demo" / "devices.csv", (demo,)).bindings
    assert {str(b.network.network_address): b.device for b in found} == {
        "127.0.0.1": "dev-demo-1",
        "::1": "dev-demo-1",
        "127.0.0.2": "dev-demo-2",
    }


IMEI, IMEI_2 = "001015012345671", "001015012345689"
IDENTIFIED = "id,group,imei,imsi,msisdn,mac,token,certificate,wireguard,edns"
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
CANADA = Numbering("1", "1", 10)


def keyed(text: str, file: str = "devices.csv", **more: object) -> Inventory:
    return parse_inventory(text, file, (APN,), CANADA, **more)  # type: ignore[arg-type]


def keys(inventory: Inventory) -> dict[str, str]:
    """Whose each identifier is."""
    return {f"{kind}:{value}": device.id for (kind, value), device in inventory.keys.items()}


def rejected(inventory: Inventory) -> list[str]:
    return [f"{mistake.line}: {mistake.what}" for mistake in inventory.rejected]


def test_a_device_has_every_kind_of_identifier() -> None:
    row = f"dev-1,field,{IMEI};{IMEI_2},302720123456789,(613) 555-0123,00-10-A4-23-19-C0,{'a' * 64},"
    row += f"{':'.join(['BB'] * 32)},{KEY},site-1"
    inventory = keyed(f"{IDENTIFIED}\n{row}\n")
    assert rejected(inventory) == []
    assert keys(inventory) == {
        "imei:00101501234567": "dev-1",
        "imei:00101501234568": "dev-1",
        "imsi:302720123456789": "dev-1",
        "msisdn:16135550123": "dev-1",
        "mac:0010a42319c0": "dev-1",
        f"token:{'a' * 64}": "dev-1",
        f"certificate:{'bb' * 32}": "dev-1",
        f"tunnel:{KEY}": "dev-1",
        "edns:site-1": "dev-1",
    }
    assert inventory.devices == (Device("dev-1", "field"),)


def test_identifiers_and_addresses_stand_side_by_side() -> None:
    inventory = keyed(
        f"id,group,addresses,imei\ndev-1,field,10.20.0.5,{IMEI}\ndev-2,field,,{IMEI_2}\n,all,10.20.0.0/16,\n"
    )
    assert [str(each.network) for each in inventory.bindings] == ["10.20.0.5/32", "10.20.0.0/16"]
    assert keys(inventory) == {"imei:00101501234567": "dev-1", "imei:00101501234568": "dev-2"}


@pytest.mark.parametrize(
    "damaged",
    ["3.5E+14", "1015012345671", "000000000000000", "001015012345672", "00101501234567A", f"{IMEI} {IMEI_2}"],
)
def test_a_line_that_a_spreadsheet_has_damaged_is_left_out_and_told(damaged: str) -> None:
    inventory = keyed(f"id,group,imei\ndev-1,field,{damaged}\ndev-2,field,{IMEI_2}\n")
    assert rejected(inventory) == ["2: its imei cannot be right; write 15 digits, in a cell formatted as text"]
    assert [device.id for device in inventory.devices] == ["dev-2"]


@pytest.mark.parametrize("column", ["imsi", "msisdn", "mac", "token", "certificate", "wireguard"])
def test_no_identifier_that_is_wrong_is_quoted(column: str) -> None:
    (said,) = rejected(keyed(f"id,group,{column}\ndev-1,field,secret?\ndev-2,field,\n"))
    assert said.startswith(f"2: its {column} cannot be right; write ")
    assert "secret" not in said


def test_what_two_devices_claim_names_neither() -> None:
    rows = (f"dev-1,field,{IMEI},302720123456789", f"dev-2,field,{IMEI},302720123456780", f"dev-3,field,{IMEI},")
    text = "\n".join(["id,group,imei,imsi", *rows])
    inventory = keyed(text)
    assert rejected(inventory) == [
        "2: this imei stands on line 3 too; it names neither device",
        "3: this imei stands on line 2 too; it names neither device",
        "4: this imei stands on line 2 too; it names neither device",
    ]
    assert keys(inventory) == {"imsi:302720123456789": "dev-1", "imsi:302720123456780": "dev-2"}


GUID = "5f1c7a3e-0000-4000-8000-00000000000"
INTUNE_COLUMNS = (
    *("DeviceId", "DeviceName", "IMEI", "MEID", "SerialNumber", "PhoneNumber", "WifiMacAddress"),
    *("SupervisedStatusString", "Ownership", "PrimaryUser", "Department"),
)
INTUNE = "\n".join(
    [
        ",".join(INTUNE_COLUMNS),
        f"{GUID}1,Anne's iPhone,{IMEI},,C39XX0001,+16135550123,0010A42319C0,Yes,Corporate,Anne,Field Ops / Québec",
        f"{GUID}2,Bob's iPhone,{IMEI_2},,C39XX0002,,,Supervised,Personal,bob@dept.example,HQ",
        f"{GUID}3,Printer,,,C39XX0003,,,Unsupervised,Corporate,,HQ",
    ]
)
WORKSPACE_ONE = f"""Device Friendly Name,Serial Number,Imei,Mac Address,Phone Number,Ownership,Is Supervised
"phone, one",C39XX0001,{IMEI},00:10:A4:23:19:C0,6135550123,C,true
phone two,C39XX0002,N/A,,6135550124,E,true
"""
JAMF_JSON = """{"totalCount": 2, "results": [
  {"mobileDeviceId": "17", "general": {"displayName": "x", "udid": "00008030-0001"},
   "hardware": {"serialNumber": "C39XX0001", "wifiMacAddress": "00:10:A4:23:19:C0"},
   "network": {"imei": "001015012345671", "imei2": "001015012345689", "phoneNumber": "+1 613 555 0123"}},
  {"mobileDeviceId": "18", "general": {"udid": "00008030-0002"}, "network": {"imei": "3.5E+14"}}
]}"""


def test_an_export_of_intune() -> None:
    inventory = keyed(INTUNE)
    first = f"{GUID}1"
    assert inventory.devices == (Device(first, "Field-Ops-Quebec"),)
    assert keys(inventory) == dict.fromkeys(("imei:00101501234567", "msisdn:16135550123", "mac:0010a42319c0"), first)
    assert rejected(inventory) == [
        "3: its owner is its user; leave private devices out",
        "4: neither IMEI, IMSI, number nor MAC; no network could know it",
    ]


def test_nothing_else_of_an_export_is_kept() -> None:
    kept = repr(keyed(INTUNE)) + repr(keyed(WORKSPACE_ONE))
    assert not any(text in kept for text in ("anne", "Anne", "bob", "C39XX", "Supervised", "phone, one"))


def test_an_export_of_workspace_one_has_ids_that_do_not_show_the_serial_number() -> None:
    inventory = keyed(WORKSPACE_ONE)
    (device,) = inventory.devices
    assert device.id.startswith("dev-")
    assert keyed(WORKSPACE_ONE.replace("C39XX0001", "c39xx0001")).devices == (device,)
    assert keys(inventory) == dict.fromkeys(
        ("imei:00101501234567", "msisdn:16135550123", "mac:0010a42319c0"), device.id
    )


def test_an_export_of_jamf_in_json() -> None:
    inventory = keyed(JAMF_JSON, "jamf.json")
    assert keys(inventory) == dict.fromkeys(
        ("imei:00101501234567", "imei:00101501234568", "msisdn:16135550123", "mac:0010a42319c0"), "17"
    )
    assert rejected(inventory) == ["2: its imei cannot be right; write 15 digits, in a cell formatted as text"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "1: this is not JSON"),
        ("{}", '1: no list of devices; write one, or an object with one under "value", "results" or "devices"'),
        ("[1]", "1: no list of devices"),
        ("[]", "1: no device in it can be used"),
        ('[{"imei": "3.5E+14", "udid": "1"}]', "1: no device in it can be used: its imei cannot be right"),
    ],
)
def test_an_export_of_which_nothing_can_be_used_is_refused(text: str, said: str) -> None:
    with pytest.raises(Mistakes) as caught:
        keyed(text, "devices.json")
    assert str(caught.value).startswith(f"devices.json:{said}")


def test_tokens_come_from_the_listeners_files_too(tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text(f"id,group,imei\ndev-1,field,{IMEI}\n")
    (tmp_path / "tokens.txt").write_text(
        f"# tokens\ndev-1 {'a' * 64}\ndev-9 {'b' * 64}  # not in the inventory\nwrong\n"
    )
    inventory = read_inventory(tmp_path / "devices.csv", (APN,), tokens=[tmp_path / "tokens.txt"])
    assert inventory.keys[Kind.TOKEN, "a" * 64] == Device("dev-1", "field")
    assert inventory.keys[Kind.TOKEN, "b" * 64] == Device("dev-9", None)
