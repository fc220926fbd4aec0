from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.block import FIELDS, Block, Entry, Recorded, Response, decode_entry, encode_block, with_client
from enforcer.errors import Corrupt
from enforcer.policy.rules import Confidence, Evidence, Kind, Rule
from enforcer.policy.verdict import Action, Layer, Verdict
from tests.records import BLOCK

RULE = Rule(
    kind=Kind.SUFFIX,
    trigger="chat.test",
    list="chat",
    file="chat.yaml",
    line=9,
    service="chat",
    part="messaging",
    evidence=Evidence.WEB,
    confidence=Confidence.SINGLE,
    source="a test",
    ban="ban-9",
)
QNAME = b"\x01a\x04chat\x04test\x00"


def of_question(verdict: Verdict) -> Block | None:
    return Block.of(
        verdict,
        ruleset="0123456789ab",
        layer=Layer.DNS,
        name=QNAME,
        qtype="AAAA",
        via="b.chat.test",
        response=Response.NODATA,
        rcode="NOERROR",
        ede=15,
        transport="tcp",
        realm="lab",
    )


def test_a_blocked_question_is_described_by_its_rule_and_its_answer() -> None:
    assert of_question(Verdict(Action.BLOCK, RULE)) == replace(
        BLOCK,
        response=Response.NODATA,
        evidence="web",
        ban="ban-9",
        via="b.chat.test",
        qtype="AAAA",
        rcode="NOERROR",
        transport="tcp",
    )


def test_an_observed_question_was_not_answered_by_us() -> None:
    block = of_question(Verdict(Action.OBSERVE, RULE))
    assert block is not None
    assert (block.action, block.response, block.rcode, block.ede) == (Recorded.OBSERVED, None, None, None)


def of_connection(verdict: Verdict) -> Block | None:
    return Block.of(
        verdict,
        ruleset="0123456789ab",
        layer=Layer.TLS,
        name=QNAME,
        via=None,
        alpn=("h2",),
        ech=True,
        response=Response.ALERT,
        transport="tcp",
        dest_ip="192.0.2.9",
        dest_port=443,
        realm="lab",
    )


def test_a_refused_connection_is_described_by_its_rule_and_where_it_went() -> None:
    assert of_connection(Verdict(Action.BLOCK, RULE)) == replace(
        BLOCK,
        layer=Layer.TLS,
        response=Response.ALERT,
        evidence="web",
        ban="ban-9",
        qtype=None,
        rcode=None,
        ede=None,
        alpn=("h2",),
        ech=True,
        transport="tcp",
        dest_ip="192.0.2.9",
        dest_port=443,
    )


def test_an_observed_connection_went_through() -> None:
    block = of_connection(Verdict(Action.OBSERVE, RULE))
    assert block is not None
    assert (block.action, block.response) == (Recorded.OBSERVED, None)


@pytest.mark.parametrize("rule", [None, RULE])
def test_an_allowed_connection_cannot_be_written_down(rule: Rule | None) -> None:
    assert of_connection(Verdict(Action.ALLOW, rule)) is None


@pytest.mark.parametrize("rule", [None, RULE])
def test_what_is_allowed_cannot_be_written_down(rule: Rule | None) -> None:
    assert of_question(Verdict(Action.ALLOW, rule)) is None


TEXT = st.text()
BLOCKS = st.builds(
    Block,
    **{field.name: TEXT for field in fields(Block)}
    | {
        "layer": st.sampled_from(Layer),
        "action": st.sampled_from(Recorded),
        "response": st.none() | st.sampled_from(Response),
        "alpn": st.none() | st.lists(TEXT).map(tuple),
        "ech": st.none() | st.booleans(),
        "ede": st.none() | st.integers(),
        "dest_port": st.none() | st.integers(),
    }
    | dict.fromkeys(("ban", "name", "via", "qtype", "rcode", "dest_ip"), st.none() | TEXT),
)


SHOWN = st.none() | st.from_regex(r"(certificate|token|edns:65001):[0-9a-f]{1,64}", fullmatch=True)


@given(block=BLOCKS, address=st.ip_addresses(), port=st.integers(0, 65_535), shown=SHOWN)
def test_decoding_undoes_encoding(block: Block, address: object, port: int, shown: str | None) -> None:
    entry = with_client(encode_block(block), str(address), port, shown)
    assert decode_entry(entry) == Entry(block, str(address), port, shown)


@given(block=BLOCKS)
def test_a_client_that_must_not_be_written_down_is_not(block: Block) -> None:
    assert decode_entry(with_client(encode_block(block), None, None, "token:00")) == Entry(block, None, None)


def test_clients_of_one_block_share_the_entry_up_to_the_client() -> None:
    first, second = (with_client(encode_block(BLOCK), f"192.0.2.{n}", n) for n in (1, 2))
    assert first.rsplit(b",", 3)[0] == second.rsplit(b",", 3)[0] == encode_block(BLOCK)


@given(data=st.binary())
def test_any_other_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_entry(data)


WHOLE = with_client(encode_block(BLOCK), "192.0.2.1", 7)


@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_torn_entry_is_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt):
        decode_entry(WHOLE[:cut])


@pytest.mark.parametrize(
    "change", [(b'"dns"', b'"smoke"'), (b'"blocked"', b"null"), (b'"lab",', b""), (b'"lab"', b'"lab",1'), (b"[", b"{")]
)
def test_an_entry_of_another_kind_is_corrupt(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(Corrupt):
        decode_entry(WHOLE.replace(*change, 1))


def test_the_fields_are_the_records_in_the_records_order() -> None:
    assert tuple(field.name for field in fields(Block)) == FIELDS
