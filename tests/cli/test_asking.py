import os
from pathlib import Path

import pytest

from enforcer.attempts.access import Access, Look
from enforcer.cli.asking import operator, record_access
from enforcer.errors import Unavailable
from enforcer.folders import Folders


def test_behind_sudo_it_is_who_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert operator() == "alice"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("LOGNAME", "bob")
    assert operator() == "bob"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert operator() == "user 54321"


def test_without_a_hub_nobody_gets_to_see_anything(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the hub does not answer"):
        record_access(Folders(tmp_path), Access(Look.REVEAL, "alice", "ticket 4711", "dev-1"))
