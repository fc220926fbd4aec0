import os
from pathlib import Path

import pytest

from enforcer.errors import Unavailable
from enforcer.hub.lock import hub_lock


def test_a_second_hub_is_refused_and_told_which_process_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "hub.lock"
    with (
        hub_lock(path),
        pytest.raises(Unavailable, match=rf"another hub \(process {os.getpid()}\) uses this data_dir"),
        hub_lock(path),
    ):
        pass


def test_the_next_hub_gets_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "hub.lock"
    path.write_text("123456789\n")  # a killed hub's
    for _ in range(2):
        with hub_lock(path):
            assert path.read_text() == f"{os.getpid()}\n"
