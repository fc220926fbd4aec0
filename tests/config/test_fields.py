"""What single fields refuse, and what they say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.model import Config

type Changes = dict[str, object]
type Refused = Callable[[Changes], list[str]]

NOT_NAT64 = 'is not a NAT64 prefix; write an IPv6 network of length 32, 40, 48, 56, 64 or 96, as in "64:ff9b::/96"'
NO_LIST = (
    "is neither a file nor a shipped list; write a path, relative to the folder of this file, "
    'or the name of a shipped list, as in "wechat.yaml"'
)
NO_CONTACT = 'is not a contact; write one, as in "mailto:itsec@dept.example" or "tel:+1-613-555-0123"'


NO_RECORD = (
    "is not a name, a TTL, a type of A, AAAA, CNAME, TXT and PTR, and its data; "
    'write them, as in "printer.corp.example 300 A 192.0.2.7"'
)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("node", "a b", '"a b" is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -'),
        ("data_dir", ["x"], "a list is not a path; write one"),
        ("data_dir", "a\0b", r'"a\u0000b" is not a path; write one'),
        ("policy.mode", "enforced", '"enforced" is not a choice here; did you mean "enforce"?'),
        ("policy.ban", " ", '" " is not a line of text; write 1 to 200 printable characters'),
        ("policy.notice.en", "a\nb", r'"a\u000ab" is not a line of text; write 1 to 200 printable characters'),
        ("policy.notice.contact", "https://dept.example", f'"https://dept.example" {NO_CONTACT}'),
        ("policy.notice.contact", "mailto:", f'"mailto:" {NO_CONTACT}'),
        (
            "resolver.strategy",
            "slowest",
            '"slowest" is not a choice here; write one of "fastest", "ordered", "parallel"',
        ),
        (
            "resolver.answer",
            "refused",
            '"refused" is not a choice here; write one of "nodata", "null", "nxdomain", "sinkhole"',
        ),
        ("resolver.outside", "dropp", '"dropp" is not a choice here; did you mean "drop"?'),
        ("resolver.upstreams", [], 'nobody would be asked; write "auto", or upstreams, as in ["udp://192.0.2.1"]'),
        ("resolver.chaos", "é", '"é" cannot be a TXT answer; write 1 to 255 printable ASCII characters'),
        ("resolver.workers", 0, '"0" is not a number of workers; write "auto", or 1 to 64'),
        ("resolver.workers", "9" * 20, f'"{"9" * 20}" is not a number of workers; write "auto", or 1 to 64'),
        ("resolver.workers", True, '"true" is not a number of workers; write "auto", or 1 to 64'),
        ("resolver.ede.code", 16, '"16" is not a code for a ban; write 15 (Blocked) or 17 (Filtered)'),
        (
            "attempts.index",
            "mysql://enforcer:secret@db/enforcer",
            '"mysql" is no index; write "sqlite", or a database, as in "postgresql://db.example/enforcer"',
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_write(refused: Refused, path: str, value: object, said: str) -> None:
    assert refused({path: value}) == [f"{path}: {said}"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "resolver.local.records",
            "a.test A 192.0.2.1",
            NO_RECORD,
        ),
        ("resolver.sinkhole", "x", 'is not an IP address; write one, as in "192.0.2.80" or "2001:db8::80"'),
        ("resolver.nat64", "10.0.0.0/8", NOT_NAT64),
        ("resolver.nat64", "64:ff9b::/95", NOT_NAT64),
        ("resolver.upstreams", "quic://192.0.2.1", 'is not supported by this version; write "tls://ADDRESS"'),
        ("policy.lists", "wechta.yaml", NO_LIST),
        ("policy.lists", "lists/wechat.yaml", NO_LIST),
        ("policy.lists", "./wechat.yaml", NO_LIST),
    ],
)
def test_a_wrong_item_is_refused_by_its_number(refused: Refused, path: str, value: object, said: str) -> None:
    assert refused({path: [value]}) == [f'{path}[0]: "{value}" {said}']


def test_automatic_upstreams_stand_alone(refused: Refused) -> None:
    assert refused({"resolver.upstreams": ["udp://192.0.2.1", "auto"]}) == [
        'resolver.upstreams[1]: "auto" stands alone; write "upstreams: auto", or name every upstream'
    ]


def test_a_list_is_found_beside_the_configuration_before_the_shipped_one(
    load_text: Callable[[str], Config], configured: Callable[[Changes], Config], tmp_path: Path
) -> None:
    assert configured({}).policy.lists == (tmp_path / "shipped" / "wechat.yaml",)
    (tmp_path / "wechat.yaml").touch()
    assert configured({}).policy.lists == (tmp_path / "wechat.yaml",)


def test_an_inventory_that_is_not_there_is_refused(refused: Refused) -> None:
    assert refused({"identity.inventory": {"file": "devices.csv"}}) == [
        'identity.inventory.file: "devices.csv" is not a file; write a path, relative to the folder of this file'
    ]


def test_a_name_that_no_file_can_have_is_refused(refused: Refused) -> None:
    name = f"{'x' * 300}/a"
    said = refused({"policy.lists": [name], "identity.inventory": {"file": name}})
    assert ["is neither a file nor a shipped list" in said[0], "is not a file" in said[1]] == [True, True]


def test_data_lies_beside_the_configuration_unless_its_path_is_absolute(
    configured: Callable[[Changes], Config], tmp_path: Path
) -> None:
    assert configured({"data_dir": "enforcer-data"}).data_dir == tmp_path / "enforcer-data"
    assert configured({"data_dir": "/srv/enforcer"}).data_dir == Path("/srv/enforcer")
