"""Each test confines a process of its own, since that cannot be undone."""

import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.confine import keep_out
from enforcer.errors import Unavailable
from tests import tools

TRY = """
import sys
from pathlib import Path
from threading import Thread
from enforcer.confine import keep_out

folder = Path(sys.argv[1])
earlier = (folder / "data/keys/key").open()
keep_out([folder / "data/keys", folder / "data/log"])

def tried(what):
    try:
        return what()
    except PermissionError:
        return "refused"

found = {
    "key": tried((folder / "data/keys/key").read_text),
    "list": tried(lambda: list((folder / "data/keys").iterdir())),
    "remove": tried((folder / "data/keys/key").unlink),
    "move": tried(lambda: (folder / "data/keys/key").rename(folder / "data/run/key")),
    "make": tried((folder / "data/keys/other").touch),
    "link": tried((folder / "link").read_text),
    "around": tried((folder / "data/run/../keys/key").read_text),
    "new folder": tried((folder / "data/new").mkdir),
    "orders": tried((folder / "data/run/orders").read_text),
    "write": tried(lambda: (folder / "data/run/orders").write_text("new")),
    "replace": tried(lambda: (folder / "data/run/orders").rename(folder / "data/run/older").name),
    "outside": tried((folder / "certificate").read_text),
}
thread = Thread(target=lambda: found.update(thread=tried((folder / "data/keys/key").read_text)))
thread.start()
thread.join()
print(found)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("keys", "log", "run"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data/keys/key").write_text("secret")
    (tmp_path / "data/run/orders").write_text("orders")
    (tmp_path / "certificate").write_text("certificate")
    (tmp_path / "link").symlink_to(tmp_path / "data/keys/key")
    return tmp_path


def test_what_is_in_the_folders_can_neither_be_read_nor_changed_and_all_else_can(folder: Path) -> None:
    tools.need_landlock()
    run = subprocess.run(
        [sys.executable, "-c", TRY, folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=tools.ROOT,
    )
    assert eval(run.stdout) == {
        **dict.fromkeys(("key", "list", "remove", "move", "make", "link", "around", "new folder", "thread"), "refused"),
        "orders": "orders",
        "write": 3,
        "replace": "older",
        "outside": "certificate",
    }
    assert (folder / "data/keys/key").read_text() == "secret"


def test_a_file_that_is_replaced_must_not_lie_on_the_way(folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"certificate: lies beside the data; put it into a folder of its own"):
        keep_out([folder / "data/keys"], [folder / "certificate"])
    assert (folder / "data/keys/key").read_text() == "secret"


def test_a_kernel_without_landlock_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.confine._CREATE_RULESET", 99_999)  # no such call: ENOSYS, as in an older kernel
    with pytest.raises(Unavailable, match="no Landlock"):
        keep_out([folder / "data/keys"])


TRY_READ_ONLY = """
import sys
from pathlib import Path
from enforcer.confine import keep_out

folder = Path(sys.argv[1])
keep_out([folder / "data/keys"], read_only=[folder / "data/log", folder / "data/run"], but=[folder / "data/run/status"])

def tried(what):
    try:
        return what()
    except PermissionError:
        return "refused"

print({
    "key": tried((folder / "data/keys/key").read_text),
    "read": tried((folder / "data/log/day").read_text),
    "list": tried(lambda: [path.name for path in (folder / "data/log").iterdir()]),
    "append": tried(lambda: (folder / "data/log/day").open("a")),
    "remove": tried((folder / "data/log/day").unlink),
    "make": tried((folder / "data/log/other").touch),
    "orders": tried(lambda: (folder / "data/run/orders").write_text("new")),
    "status": tried(lambda: (folder / "data/run/status/new").write_text("new")),
})
"""


def test_what_is_read_only_can_be_read_and_not_changed_but_for_what_may(folder: Path) -> None:
    tools.need_landlock()
    (folder / "data/run/status").mkdir()
    (folder / "data/log/day").write_text("lines")
    run = subprocess.run(
        [sys.executable, "-c", TRY_READ_ONLY, folder], capture_output=True, text=True, check=True, cwd=tools.ROOT
    )
    assert eval(run.stdout) == {
        **dict.fromkeys(("key", "append", "remove", "make", "orders"), "refused"),
        "read": "lines",
        "list": ["day"],
        "status": 3,
    }
