import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.policy.signature import SigningKey, check, key_of, read_key, sign

# Made by minisign itself, for a file of the four octets `test`: published with the verifiers of its author.
KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
HASHED = """untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==
"""
PLAIN = """untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
"""
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.mark.parametrize(
    ("signature", "stamp"), [(HASHED, "1556193335"), (PLAIN, "1555779966")], ids=["hashed", "plain"]
)
def test_what_minisign_has_signed_is_good(signature: str, stamp: str) -> None:
    assert check(b"test", signature, [read_key(KEY)]) == f"timestamp:{stamp}\tfile:test"
    for other in (b"Test", b""):
        with pytest.raises(Malformed, match="the list or the signature was changed"):
            check(other, signature, [read_key(KEY)])


def test_the_trusted_comment_is_signed_too() -> None:
    with pytest.raises(Malformed, match="was changed"):
        check(b"test", HASHED.replace("1556193335", "1556193336"), [read_key(KEY)])


def test_a_key_is_read_from_its_file_or_its_line_and_named_as_minisign_does() -> None:
    key = read_key(KEY)
    assert key.name == "E7620F1842B4E81F"
    assert read_key(key.text()) == SigningKey(key.number, key.key)
    assert key.text().splitlines()[1] == KEY


@pytest.mark.parametrize("text", ["", "hello", KEY[:-4], f"{KEY}\n{KEY}", "RWQ" + "A" * 53, KEY.replace("RWQ", "AAA")])
def test_what_is_no_key_is_refused(text: str) -> None:
    if text.startswith("RWQA"):
        assert read_key(text).number == bytes(8)  # any 32 octets are a key; it signs nothing
        return
    with pytest.raises(Malformed, match="this is no public key of minisign"):
        read_key(text)


@given(data=st.binary(max_size=300))
def test_what_we_sign_is_good_for_our_key_alone(data: bytes) -> None:
    signature = sign(data, PRIVATE, "wechat.yaml 2026.11.1")
    assert check(data, signature, [key_of(OTHER), key_of(PRIVATE)]) == "wechat.yaml 2026.11.1"
    with pytest.raises(Malformed, match="which is not among those that count"):
        check(data, signature, [key_of(OTHER)])
    with pytest.raises(Malformed, match="was changed"):
        check(data + b"x", signature, [key_of(PRIVATE)])


@given(text=st.text(max_size=200))
def test_any_text_is_a_signature_or_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        check(b"test", text, [read_key(KEY)])


@pytest.mark.parametrize("line", range(4))
def test_a_signature_that_lacks_a_line_or_has_another_is_none(line: int) -> None:
    lines = HASHED.splitlines()
    for text in ("\n".join(lines[:line] + lines[line + 1 :]), "\n".join([*lines[:line], "x", *lines[line + 1 :]])):
        with pytest.raises(Malformed, match="this is no signature of minisign"):
            check(b"test", text, [read_key(KEY)])
