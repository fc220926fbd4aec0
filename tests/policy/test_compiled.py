import dataclasses
import struct
from contextlib import suppress
from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt
from enforcer.policy.compiled import Compiled, PolicySettings, compile_policy, read_compiled
from enforcer.policy.names import parse
from enforcer.policy.protections import BUILT_IN
from enforcer.policy.rules import Answer, Evidence
from enforcer.policy.table import EXACT, OWN, PASS, SUFFIX
from tests.policy.made import PLAIN, a_list, third_party

LIST = a_list(
    "suffix: chat.test",
    r"regex: '^wx[0-9]+\.qq\.test$'",
    'cidr: "2001:db8::/48", expires: 2027-01-01',
    "cidr: 203.0.113.0/24, ports: [tcp/443, udp/443]",
    "fingerprint: mmtls",
    "http_path: dl.chat.test/app/",
    never_block=["exact: qq.test"],
)
OTHERS = third_party("||ads.test^\n@@||ok.ads.test^\n")
DATA = compile_policy([LIST], [OTHERS], PLAIN)


def test_a_list_comes_back_as_it_was_read() -> None:
    assert read_compiled(DATA).lists == (LIST,)


def test_settings_come_back_and_fill_in_the_ban_that_a_list_does_not_name() -> None:
    settings = PolicySettings(Answer.SINKHOLE, "tbs-1", (IPv6Network("2001:db8:64::/96"),), ("9.9.9.9", "2620:fe::fe"))
    other = a_list("suffix: own.test", service="own", more="ban: tbs-2")
    read = read_compiled(compile_policy([LIST, other], [], settings))
    assert read.settings == settings
    assert {rule.ban for rule in read.lists[0].rules} == {"tbs-1"}
    assert {rule.ban for rule in read.lists[1].rules} == {"tbs-2"}


def test_protections_and_counts_of_third_party_lists_come_back() -> None:
    read = read_compiled(DATA)
    assert read.built_in == BUILT_IN
    assert [(each.source.name, each.suffixes, each.exacts) for each in read.third_party] == [("others", 1, 0)]
    assert read.third_party[0].source.evidence is Evidence.SHARED


def test_every_name_is_in_the_table_for_its_reason() -> None:
    table = read_compiled(DATA).table
    for name, what in (
        ("chat.test", OWN),
        ("qq.test", OWN),
        ("ads.test", SUFFIX),
        ("ok.ads.test", PASS),
        ("push.apple.com", OWN),
    ):
        assert table.find(parse(name))[-1][1] & what, name
    hosts = compile_policy([], [third_party("0.0.0.0 one.test\n")], PLAIN)
    assert [hit[1] for hit in read_compiled(hosts).table.find(parse("one.test"))] == [EXACT]


def test_the_same_input_gives_the_same_octets() -> None:
    assert compile_policy([LIST], [OTHERS], PLAIN) == DATA


def test_anything_else_gives_other_octets() -> None:
    nodata = PolicySettings(answer=Answer.NODATA)
    moved = dataclasses.replace(LIST, file="elsewhere.yaml")
    others = [
        compile_policy([LIST], [], PLAIN),
        compile_policy([LIST], [OTHERS], nodata),
        compile_policy([moved], [OTHERS], PLAIN),
        compile_policy([dataclasses.replace(LIST, rules=LIST.rules[1:])], [OTHERS], PLAIN),
    ]
    assert len({DATA, *others}) == 5


@pytest.mark.parametrize("size", [0, 1, 23, 24, 100, len(DATA) // 2, len(DATA) - 8, len(DATA) - 1])
def test_a_policy_that_was_cut_short_is_corrupt(size: int) -> None:
    with pytest.raises(Corrupt):
        read_compiled(DATA[:size])


def test_a_policy_with_octets_behind_its_end_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        read_compiled(DATA + b"\0")


@pytest.mark.parametrize(
    ("at", "octets"),
    [
        pytest.param(0, b"E", id="not our magic"),
        pytest.param(8, struct.pack("<I", 1), id="another version"),
        pytest.param(12, DATA[12:16][::-1], id="the other byte order"),
        pytest.param(16, struct.pack("<Q", 1 << 40), id="a header longer than the file"),
        pytest.param(24, b"[", id="no mapping"),
        pytest.param(25, b"'", id="no JSON"),
    ],
)
def test_a_policy_of_another_kind_is_corrupt(at: int, octets: bytes) -> None:
    with pytest.raises(Corrupt):
        read_compiled(DATA[:at] + octets + DATA[at + len(octets) :])


@given(st.integers(0, len(DATA) - 1), st.binary(min_size=1, max_size=4))
def test_damage_anywhere_is_corrupt_or_harmless_to_the_reader(at: int, octets: bytes) -> None:
    with suppress(Corrupt):
        assert isinstance(read_compiled((DATA[:at] + octets + DATA[at + len(octets) :])[: len(DATA)]), Compiled)
