"""The private folder."""

import os
from pathlib import Path

import pytest

from enforcer.errors import Unavailable
from enforcer.identity.store import Store


def test_the_key_stays_until_it_is_too_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "identity")
    key = store.key(1000.0, 100.0)
    os.utime(tmp_path / "identity" / "pseudonym.key", (1000, 1000))
    assert Store(tmp_path / "identity").key(1099.0, 100.0) == key
    assert Store(tmp_path / "identity").key(1100.0, 100.0) != key
    assert len(key) == 32
    assert (tmp_path / "identity" / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_who_was_seen_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.seen() == {}
    store.save_seen({"dev-1": 5})
    assert Store(tmp_path).seen() == {"dev-1": 5}
    (tmp_path / "seen.json").write_text("[1]")
    assert store.seen() == {}


def test_a_folder_that_cannot_be_had_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be made"):
        Store(tmp_path / "file" / "identity")
