"""Ed25519 over the octets of a line: RFC 8032, checked with nothing but the line and the public key."""

import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enforcer.attempts.attempt import Checkpoint, Closes, parse_line
from enforcer.attempts.chain import GENESIS, seal
from enforcer.attempts.checkpoint import Notary, is_signed, key_name, merged, read_public_keys
from enforcer.errors import Malformed
from tests.records import NOON_MS, moment
from tests.tools import need

NOTARY = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEYS = read_public_keys(NOTARY.public_pem.encode())


def attested(**changes: object) -> Checkpoint:
    values = {
        "seq": 9,
        "now": moment(NOON_MS),
        "day": "2026-11-23",
        "first": 1,
        "count": 8,
        "head": bytes(range(32)),
        "root": bytes(range(32, 64)),
        "closes": None,
    }
    return NOTARY.attest(**{**values, **changes})  # type: ignore[arg-type]


def test_a_checkpoint_is_a_line_of_the_log_that_says_what_it_signs() -> None:
    checkpoint = attested(closes=Closes.DAY)
    line = seal(GENESIS, checkpoint.body(9, NOON_MS))[:-1]
    parsed = parse_line(line)
    assert parsed.entry == checkpoint
    assert (parsed.seq, parsed.logged_ms) == (9, NOON_MS)
    assert seal(GENESIS, parsed.entry.body(9, NOON_MS))[:-1] == line
    assert len(line) < 1024


def test_the_signature_is_over_the_line_up_to_itself() -> None:
    checkpoint = attested()
    body = checkpoint.body(9, NOON_MS)
    assert is_signed(body, checkpoint, KEYS)
    assert not is_signed(body.replace(b'"count":8', b'"count":7'), checkpoint, KEYS)
    assert not is_signed(checkpoint.body(10, NOON_MS), checkpoint, KEYS)
    assert not is_signed(body, checkpoint, read_public_keys(OTHER.public_pem.encode()))
    assert not is_signed(body, OTHER.attest(
        seq=9, now=moment(NOON_MS), day="", first=1, count=8, head=bytes(32), root=bytes(32), closes=None
    ), KEYS)  # fmt: skip


@pytest.mark.parametrize("signature", ["", "AAAA", "no base64", "A" * 86 + "=="])
def test_what_is_no_signature_signs_nothing(signature: str) -> None:
    forged = replace(attested(), signature=signature)
    assert not is_signed(forged.body(9, NOON_MS), forged, KEYS)


def test_openssl_agrees(tmp_path: Path) -> None:
    """An auditor needs none of our code for this."""
    checkpoint = attested()
    for name, data in (
        ("key.pem", NOTARY.public_pem.encode()),
        ("text", checkpoint.statement(9, NOON_MS)),
        ("signature", b64decode(checkpoint.signature)),
    ):
        (tmp_path / name).write_bytes(data)
    command = [need("openssl"), "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "signature"]
    done = subprocess.run([*command, "-in", "text"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout


def test_a_key_is_named_by_its_octets() -> None:
    assert NOTARY.name == key_name(NOTARY.key.public_key()) == next(iter(KEYS))
    assert len(NOTARY.name) == 16


def test_a_file_can_hold_several_keys() -> None:
    both = read_public_keys((NOTARY.public_pem + "\n" + OTHER.public_pem).encode())
    assert set(both) == {NOTARY.name, OTHER.name}
    assert set(merged([KEYS, read_public_keys(OTHER.public_pem.encode())])) == set(both)


def test_other_keys_are_refused() -> None:
    x25519 = X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Malformed, match="not of Ed25519"):
        read_public_keys(x25519)
    with pytest.raises(Malformed, match="cannot be read"):
        read_public_keys(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
    with pytest.raises(Malformed, match="there is no public key"):
        read_public_keys(b"hello")
