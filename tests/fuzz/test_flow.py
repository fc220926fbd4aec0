"""Any octets as the beginning of a connection: they are seen or ask for more, and only Malformed comes out of readers.

Run as a program, this fuzzes with atheris: `python -m tests.fuzz.test_flow stream|requests|datagram|initial`, and
libFuzzer's options behind it.
"""

import gc
import importlib
import sys
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from types import FunctionType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.flow import Datagrams, Opening, Requests, Seen, inspect, judge_flow
from enforcer.errors import Malformed
from enforcer.policy.names import display
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Action, Client
from enforcer.wire import http, mmtls, tls
from tests.policy.made import a_list, a_policy
from tests.wire.hellos import PREFACE, PRIOR_KNOWLEDGE, big, hello, message, of_ssl, sni
from tests.wire.initials import V2, crypto, of_aioquic, seal

NOW = datetime(2026, 11, 26, tzinfo=UTC)
POLICY = a_policy(a_list("suffix: blocked.test", "fingerprint: mmtls", "http_path: /mmtls/"))
STREAMS = (
    hello(b"chat.blocked.test"),
    hello(b"chat.blocked.test", size=1),
    big(b"chat.blocked.test"),
    of_ssl("chat.blocked.test"),
    b"GET http://blocked.test/a HTTP/1.1\r\nHost: chat.blocked.test\r\n\r\n",
    bytes.fromhex("19f10400a10000009d0104f10100a8"),
    PRIOR_KNOWLEDGE,
)
DATAGRAMS = (*of_aioquic("chat.blocked.test"), seal(crypto(message(sni(b"chat.blocked.test"))), V2))


def fuzz_stream(data: bytes) -> None:
    """However a stream is cut, the same is seen; what is seen can be judged and shown."""
    whole = inspect(data, transport=Transport.TCP)
    half = len(data) // 2
    opening = Opening()
    pieces = opening.add(data[:half]) or opening.add(data[half:])
    assert (pieces is None) == (whole is None)
    if whole is not None:
        assert pieces is not None
        assert pieces.layer == whole.layer
        judge(whole)
    mmtls.is_mmtls(data)
    for read in (tls.read_client_hello, tls.read_message, http.read_request):
        with suppress(Malformed):
            read(data)
    fuzz_requests(data)


def fuzz_requests(data: bytes) -> None:
    """However HTTP/2 is cut, the same requests are seen, up to where nobody could read on."""
    whole = Requests().add(PREFACE + data)
    requests = Requests()
    pieces = [seen for piece in (PREFACE, data[:9], data[9:]) for seen in requests.add(piece)]
    assert whole[: len(pieces)] == pieces[: len(whole)]
    for seen in whole:
        judge(seen)


def fuzz_datagram(data: bytes) -> None:
    """Of a datagram, and of its halves as two, nothing comes out but what can be judged."""
    datagrams = Datagrams()
    for each in (data[: len(data) // 2], data[len(data) // 2 :], data):
        found = datagrams.add(each)
        if found is not None:
            judge(found)
            datagrams.later(data)
            return


def fuzz_initial(data: bytes) -> None:
    """The same for what is inside of an Initial packet, which chance alone would not encrypt."""
    fuzz_datagram(seal(data, size=0))
    found = Datagrams().add(seal(crypto(data), size=0)) if data else None
    if found is not None:
        judge(found)


def judge(seen: Seen) -> None:
    """Whatever is seen has a verdict and can be written down."""
    port = Port(Transport.TCP, 443)
    judged = judge_flow(seen, ip_address("192.0.2.1"), port, policy=POLICY, client=Client("fuzz"), now=NOW)
    assert judged.verdict.action in Action
    assert all(display(name).isascii() for name in seen.names)


@pytest.mark.parametrize("stream", STREAMS)
def test_the_seeds_pass(stream: bytes) -> None:
    fuzz_stream(stream)
    fuzz_initial(stream)
    for datagram in DATAGRAMS:
        fuzz_datagram(datagram)


@given(st.binary(max_size=200))
def test_any_octets_pass(data: bytes) -> None:
    fuzz_stream(data)
    fuzz_datagram(data)
    fuzz_initial(data)


@given(st.sampled_from(STREAMS), st.data())
def test_streams_with_changed_octets_pass(stream: bytes, data: st.DataObject) -> None:
    fuzz_stream(changed(stream, data))


@given(st.sampled_from(DATAGRAMS), st.data())
def test_datagrams_with_changed_octets_pass(datagram: bytes, data: st.DataObject) -> None:
    fuzz_datagram(changed(datagram, data))


@given(st.data())
def test_frames_with_changed_octets_pass(data: st.DataObject) -> None:
    fuzz_initial(changed(crypto(message(sni(b"chat.blocked.test"))), data))


def changed(wire: bytes, data: st.DataObject) -> bytes:
    octets = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets)))
        octets[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    return bytes(octets)


if __name__ == "__main__":
    atheris = importlib.import_module("atheris")  # not for every Python, so not among the tools of the tests
    for each in gc.get_objects():  # of ours alone: to instrument all that is loaded takes minutes
        if isinstance(each, FunctionType) and str(each.__module__).startswith("enforcer."):
            atheris.instrument_func(each)
    targets = {
        "stream": fuzz_stream,
        "requests": fuzz_requests,
        "datagram": fuzz_datagram,
        "initial": fuzz_initial,
    }
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets[sys.argv[1]])
    atheris.Fuzz()
