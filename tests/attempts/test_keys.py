from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from enforcer.attempts.keys import open_notary, public_path, publish, published, read_key_file
from enforcer.errors import Malformed, Unavailable


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "checkpoint.pem"
    made = open_notary("gw", path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = open_notary("gw", path)
    assert (again.node, again.name) == ("gw", made.name)
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint.pem"]


def test_half_a_key_that_a_kill_left_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pem.new").write_text("-----BEGIN")
    open_notary("gw", tmp_path / "checkpoint.pem")
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pem"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pem"
    open_notary("gw", path)
    path.chmod(0o640)
    with pytest.raises(Unavailable, match=r"others may read this key; set its mode to 0600"):
        open_notary("gw", path)


def test_what_is_no_key_of_ours_is_refused(tmp_path: Path) -> None:
    key = X25519PrivateKey.generate()
    cases = {
        "not of Ed25519": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "without a passphrase": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        "no private key in PEM": b"hello",
    }
    path = tmp_path / "checkpoint.pem"
    for text, data in cases.items():
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(Unavailable, match=text):
            open_notary("gw", path)


def test_a_key_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be read or made"):
        open_notary("gw", tmp_path / "keys" / "checkpoint.pem")


def test_public_keys_stay_beside_the_log(tmp_path: Path) -> None:
    assert published(tmp_path) == {}
    notaries = [open_notary("gw", tmp_path / name) for name in ("old", "new")]
    for notary in (*notaries, notaries[0]):
        publish(notary, tmp_path)
    assert set(published(tmp_path)) == {notary.name for notary in notaries}
    assert set(read_key_file(public_path(tmp_path, notaries[0].name))) == {notaries[0].name}


def test_a_public_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        read_key_file(tmp_path / "missing.pem")
    (tmp_path / "key-0.pem").write_text("hello")
    with pytest.raises(Malformed, match=r"key-0\.pem: there is no public key"):
        published(tmp_path)
