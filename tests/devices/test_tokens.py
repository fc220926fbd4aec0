import hashlib

import pytest

from enforcer.devices.tokens import read_token_hashes, token_hash
from enforcer.errors import Mistakes

TOKEN = "abcdefghijklmnop"
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()


def test_a_token_is_known_by_its_hash_whatever_its_letter_case() -> None:
    assert token_hash(TOKEN) == token_hash(TOKEN.upper()) == bytes.fromhex(HASH)


@pytest.mark.parametrize("token", ["", "abcdefghijklmno", "a" * 64, "abcdefghijklmno1", "abcdefghijklmnoé", "a b" * 8])
def test_what_has_not_80_bits_of_base32_or_no_place_in_a_label_is_no_token(token: str) -> None:
    assert token_hash(token) is None


def test_a_file_has_a_device_and_a_hash_a_line() -> None:
    other = "0" * 64
    text = f"# phones\ndev-1 {HASH}\n\n  dev-2\t{other}  # spare\n"
    assert read_token_hashes(text, "tokens.txt") == {bytes.fromhex(HASH), bytes.fromhex(other)}


def test_every_wrong_line_is_named_and_not_shown() -> None:
    with pytest.raises(Mistakes) as caught:
        read_token_hashes(f"dev-1 {TOKEN}\ndev-1 {HASH}\n{HASH}\n", "tokens.txt")
    said = 'not a device and a hash; write "DEVICE SHA256", the hash in lower case'
    assert str(caught.value) == f"tokens.txt:1: {said}\ntokens.txt:3: {said}"
