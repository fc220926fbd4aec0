import logging
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.privileges import Capability
from enforcer.processes.confined import confine_console, confine_sinks, confine_worker
from tests.certificates import Authority
from tests.processes.site import Site
from tests.tools import ROOT, need_landlock

type Calls = list[tuple[tuple[Path, ...], tuple[Path, ...]]]
"""The folders that were given up, and the files that must not lie on the way; each time."""


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[Capability]]:
    """The capabilities that a process would have kept."""
    calls: list[frozenset[Capability]] = []
    monkeypatch.setattr("enforcer.processes.confined.keep_only", calls.append)
    return calls


@pytest.fixture
def given_up(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What a process would have given up: the folders, and the files that must not be in their way."""
    calls: Calls = []

    def keep_out(folders: Iterable[Path], replaced: Iterable[Path], **_: Iterable[Path]) -> None:
        calls.append((tuple(folders), tuple(replaced)))

    monkeypatch.setattr("enforcer.processes.confined.keep_out", keep_out)
    return calls


def test_what_enforces_gives_up_secrets_and_evidence(site: Site, given_up: Calls) -> None:
    confine_worker(site.config, "dns")
    folders = Folders(site.config.data_dir)
    assert given_up == [((*folders.secrets, *folders.evidence, folders.console, folders.proxy_ca), ())]
    assert folders.spool.is_dir()
    assert folders.policy.is_dir()


def test_a_key_of_the_log_that_lies_elsewhere_is_given_up_too(site: Site, given_up: Calls) -> None:
    site.more["attempts"] = {"signing_key": "keys/log.pem"}
    confine_worker(site.config, "dns")
    confine_console(site.config)
    assert all(site.folder / "keys" / "log.pem" in folders for folders, _ in given_up)


def test_what_shows_records_gives_up_the_secrets_alone(site: Site, given_up: Calls) -> None:
    site.more["console"] = {"users": "people"}
    confine_console(site.config)
    folders = Folders(site.config.data_dir)
    assert given_up == [((*folders.secrets, folders.proxy_ca), (site.folder / "people",))]
    assert folders.console.is_dir()


SINKS = """
import sys
from pathlib import Path
from enforcer.config.load import load
from enforcer.processes.confined import confine_sinks

config = load(Path(sys.argv[1]))
confine_sinks(config)
data = config.data_dir

def tried(what):
    try:
        return bool(what() or True)
    except PermissionError:
        return False

print({
    "reads the log": tried((data / "log/day").read_text),
    "changes the log": tried(lambda: (data / "log/day").write_text("other")),
    "reads the key": tried((data / "keys/key").read_text),
    "reads the index": tried(lambda: list((data / "index").iterdir())),
    "gives orders": tried(lambda: (data / "run/orders").write_text("other")),
    "reads its secret": tried(config.attempts.sinks[0].secret_file.read_text),
    "moves its cursor": tried(lambda: (data / "sinks/http.json").write_text("{}")),
    "tells how it does": tried(lambda: (data / "run/sinks/http.json").write_text("{}")),
    "takes its lock": tried((data / "run/sinks.lock").open("a").close),
    "writes its file": tried(lambda: (config.attempts.sinks[1].path).write_text("line")),
})
"""


def test_what_sends_copies_reads_the_log_and_changes_only_what_is_its_own(site: Site) -> None:
    need_landlock()
    (site.folder / "secrets").mkdir()
    (site.folder / "secrets" / "token").write_text("secret")
    for name in ("log/day", "keys/key", "index/x", "run/orders"):
        (site.folders.data / name).parent.mkdir(parents=True)
        (site.folders.data / name).write_text("there")
    http = {"type": "http", "url": "http://127.0.0.1:1", "secret_file": "secrets/token"}
    site.more["attempts"] = {"sinks": [http, {"type": "file", "path": "shipped/a.ndjson"}]}
    assert site.config.attempts.sinks
    done = subprocess.run(
        [sys.executable, "-c", SINKS, site.path], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr == ""
    assert eval(done.stdout) == {
        "reads the log": True,
        "changes the log": False,
        "reads the key": False,
        "reads the index": False,
        "gives orders": False,
        "reads its secret": True,
        "moves its cursor": True,
        "tells how it does": True,
        "takes its lock": True,
        "writes its file": True,
    }


def test_a_file_sink_whose_folder_holds_the_data_keeps_the_process_unconfined_and_is_said(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.more["attempts"] = {"sinks": [{"type": "file", "path": "data/a.ndjson"}]}
    with caplog.at_level(logging.WARNING):
        confine_sinks(site.config)
    assert "data/a.ndjson: lies beside the data; put it into a folder of its own" in caplog.text


def test_certificates_must_not_be_in_the_way(site: Site, given_up: Calls) -> None:
    pair = Authority(site.folder).pair("dns", "dns.test")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    listener = {"name": "dns", "tls": f"127.0.0.1:{site.port}", **tls}
    site.resolver["listeners"] = [listener]
    confine_worker(site.config, "dns")
    assert given_up[0][1] == (pair.certificate, pair.key)


def test_what_cannot_be_given_up_is_said_and_does_not_keep_it_from_enforcing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def keep_out(*_: object, **__: object) -> None:
        raise Unavailable("this kernel has no Landlock")

    monkeypatch.setattr("enforcer.processes.confined.keep_out", keep_out)
    with caplog.at_level(logging.WARNING):
        confine_worker(site.config, "dns")
    assert "not_confined reason=this kernel has no Landlock" in caplog.text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dns", {Capability.NET_BIND_SERVICE}),
        ("gate", {Capability.NET_ADMIN, Capability.NET_RAW}),
        ("gateway", {Capability.NET_ADMIN}),
    ],
)
def test_each_kind_keeps_the_privileges_that_it_needs(
    site: Site,
    given_up: Calls,
    kept: list[frozenset[Capability]],
    kind: str,
    expected: set[Capability],
) -> None:
    confine_worker(site.config, kind)
    assert kept == [expected]


def test_the_proxy_alone_reaches_its_authority(site: Site, given_up: Calls) -> None:
    confine_worker(site.config, "proxy")
    folders = Folders(site.config.data_dir)
    assert folders.proxy_ca not in given_up[0][0]
