import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.formats.record import facts, plain, read_record
from enforcer.errors import Corrupt
from tests.attempts.formats.samples import DNS, HOSTILE, SAMPLES, line_of, logged, notice


def test_an_attempt_keeps_what_it_was_logged_with() -> None:
    found = logged("dns")
    assert (found.attempt, found.seq, found.id, found.kind) == (DNS, 18421, DNS.id, "dns-blocked")
    assert found.summary == "blocked chat (messaging) on dns: a.chat.test by dev-7f3a91c2, 3 times"


@pytest.mark.parametrize(
    ("name", "network"),
    [("dns", "udp"), ("tls", "tcp"), ("quic", "udp"), ("mmtls", "tcp"), ("ip", "udp")],
)
def test_the_network_protocol_is_told_by_transport_and_layer(name: str, network: str) -> None:
    assert logged(name).network == network


def test_a_notice_has_the_fields_of_its_line_flat() -> None:
    loss = notice("loss")
    assert (loss.kind, loss.serious) == ("loss", True)
    assert dict(loss.detail) == {"count": 9, "nested_id": 1, "nested_list": "[1]", "none": None, "on": True}
    assert loss.summary == "loss count=9 nested_id=1 nested_list=[1] on=True"
    assert not notice("start").serious


def test_a_line_of_another_kind_is_a_notice_of_its_type() -> None:
    raw = line_of(SAMPLES["start"]).replace(b'"type":"event"', b'"type":"checkpoint","root":"ab"')
    raw = raw.replace(b'"event":"start",', b"")
    found = read_record(raw)
    assert (found.kind, found.detail["root"]) == ("checkpoint", "ab")  # type: ignore[union-attr]


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"type":"attempt"}', b'{"type":"event","detail":1}', b"\xff"])
def test_what_is_no_line_is_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        read_record(line)


@given(st.text())
def test_text_is_made_visible_and_bounded(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) <= 320 * 10


def test_text_that_prints_is_left_alone() -> None:
    assert plain("Clavardage d’été") == "Clavardage d’été"
    assert plain("\r\x1b\u202e") == "\\u000d\\u001b\\u202e"
    assert plain("x" * 400) == "x" * 319 + "…"


def test_facts_are_what_is_known() -> None:
    known = facts(logged("hostile"))
    assert known["via"] == plain(HOSTILE)
    assert "ech" not in known
    assert known["identity_age_s"] == 412
