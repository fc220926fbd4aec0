"""Any octets into the readers of DNS: only Malformed may come out.

Run as a program, this fuzzes with atheris: `python -m tests.fuzz.test_dns TARGET [options of libFuzzer]`, where TARGET
is one of TARGETS.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.dns import (
    Record,
    Section,
    address,
    is_query,
    negative_ttl,
    opcode,
    read_query,
    read_response,
    target,
)
from enforcer.wire.dnscodes import RRClass, RRType
from enforcer.wire.dnscut import truncated, without_opt
from enforcer.wire.dnswrite import blocked, error
from enforcer.wire.name import labels, parents, read_name, skip_name
from enforcer.wire.svcb import has_ech, hints, parameters, without_ech
from tests.wire.messages import Built, responses, vector, vectors


def fuzz_query(data: bytes) -> None:
    """A query that is read can be answered, and one that is not can still be told so."""
    if not is_query(data):
        return
    opcode(data)
    try:
        query = read_query(data)
    except Malformed:
        assert read_response(error(data, 1)).id == int.from_bytes(data[:2])
        return
    assert labels(query.qname) == labels(query.question[:-4].lower())
    answer = blocked(
        query,
        rcode=3,
        suffix_at=len(query.qname) - len(next(parents(query.qname), query.qname)),
        block_ttl=60,
        mname=b"\0",
        rname=b"\0",
        edns_payload=1232,
        ede_code=15,
        ede_text="",
    )
    response = read_response(answer)
    assert (response.id, response.qname, response.qtype) == (query.id, query.qname, query.qtype)
    assert (response.opt is None) == (query.edns is None)


def fuzz_response(data: bytes) -> None:
    """A response that is read can be judged, cut, and read again."""
    try:
        response = read_response(data)
    except Malformed:
        return
    assert all(each.ttl_at < response.end - 3 for each in response.records)
    asks: list[Callable[[bytes, Record], object]] = [target, address, hints, has_ech]
    for record in response.records:
        for ask in asks:
            with suppress(Malformed):
                ask(data, record)
    with suppress(Malformed):
        negative_ttl(data, response)
    with suppress(Malformed):
        truncated(data, 512)
    try:
        cut = without_opt(data, response)
    except Malformed:
        return
    again = read_response(cut)
    assert again.opt is None
    assert [(each.name, each.type, each.ttl) for each in again.records] == [
        (each.name, each.type, each.ttl) for each in response.records
    ]


def fuzz_name(data: bytes) -> None:
    """A name that is read ends where skipping it ends, is no longer than names are, and is read again from itself."""
    for at in (12, len(data) // 2):
        try:
            name, end = read_name(data, at)
        except Malformed:
            continue
        assert len(name) <= 255
        assert skip_name(data, at) == end
        assert name == name.lower()
        assert read_name(bytes(12) + name, 12) == (name, 12 + len(name))


def fuzz_svcb(data: bytes) -> None:
    """Parameters of SVCB that are read lose their keys for ECH and nothing else."""
    wire = bytes(12) + data
    record = Record(Section.ANSWER, b"\0", RRType.HTTPS, RRClass.IN, 60, 0, 12, len(wire))
    try:
        found = parameters(wire, record)
        hints(wire, record)
        bare = without_ech(wire, record)
    except Malformed:
        return
    kept = parameters(bytes(12) + bare, record._replace(data_end=12 + len(bare)))
    assert {key: value for key, value in kept.items() if key} == {
        key: value for key, value in found.items() if key not in (0, 5)
    }


TARGETS = {"query": fuzz_query, "response": fuzz_response, "name": fuzz_name, "svcb": fuzz_svcb}
SEEDS = vectors("")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_recorded_messages_pass(seed: str) -> None:
    for target_of in TARGETS.values():
        target_of(vector(seed))


@given(st.binary(max_size=300))
def test_any_octets_pass(data: bytes) -> None:
    for target_of in TARGETS.values():
        target_of(data)


@given(
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=20)), max_size=6),
    st.booleans(),
)
def test_any_parameters_pass(priority: int, pairs: list[tuple[int, bytes]], ordered: bool) -> None:
    written = sorted(dict(pairs).items()) if ordered else pairs
    data = b"".join(key.to_bytes(2) + len(value).to_bytes(2) + value for key, value in written)
    fuzz_svcb(priority.to_bytes(2) + b"\0" + data)


@given(st.sampled_from(SEEDS), st.data())
def test_recorded_messages_with_changed_octets_pass(seed: str, data: st.DataObject) -> None:
    fuzz_changed(vector(seed), data)


@given(responses(), st.data())
def test_built_responses_with_changed_octets_pass(built: Built, data: st.DataObject) -> None:
    fuzz_changed(built.wire, data)


def fuzz_changed(message: bytes, data: st.DataObject) -> None:
    wire = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire)))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    fuzz_query(bytes(wire))
    fuzz_response(bytes(wire))


if __name__ == "__main__":
    atheris = importlib.import_module("atheris")  # not for every Python, so not among the tools of the tests
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
