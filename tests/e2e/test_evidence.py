"""The record as evidence: what is done to a log is named, what is handed on can be checked, what goes is proven."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from enforcer.attempts.chain import link, seal, unseal
from enforcer.attempts.keys import open_notary
from enforcer.attempts.log import DayLog, days
from tests.cli.site import attempt
from tests.e2e.lan import TABLET, Service, Unbound, assert_whole, total, wait_for
from tests.records import whole

pytestmark = pytest.mark.timeout(180)  # services that start and stop, and many commands, on a busy machine


@pytest.fixture(scope="module")
def stopped(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has blocked twelve names, and was stopped in order."""
    with Service(tmp_path_factory.mktemp("stopped"), upstream.url) as service:
        service.start()
        for number in range(12):
            assert service.dig(f"n{number}.blocked.test").status == "NXDOMAIN"
        service.recorded(12)
        assert service.stop() == 0
        yield service


@pytest.fixture
def copy(stopped: Service, tmp_path: Path) -> tuple[Path, Path]:
    """The log's only file in a copied folder, and the hub's key, kept apart."""
    folder = Path(shutil.copytree(stopped.data / "log", tmp_path / "copy"))
    [key] = folder.glob("key-*.pem")
    kept = Path(shutil.move(key, tmp_path / "kept.pem"))
    [path] = folder.glob("*.ndjson")
    return path, kept


def verify(service: Service, copy: tuple[Path, Path], status: int, *more: str) -> str:
    return service.enforcer("attempts", "verify", "--key", str(copy[1]), *more, str(copy[0].parent), status=status)


def attempt_numbers(lines: list[bytes]) -> list[int]:
    return [at for at, line in enumerate(lines) if b'"type":"attempt"' in line]


def test_a_copied_folder_verifies_without_the_service(stopped: Service, copy: tuple[Path, Path]) -> None:
    text = verify(stopped, copy, 0)
    assert "The log is whole: 1 file, numbers 1 to " in text
    assert "not signed yet" not in text  # a stop is signed


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (
            lambda lines, at: [*lines[:at], lines[at].replace(b"blocked.test", b"blocked.tesT"), *lines[at + 1 :]],
            "flipped",
        ),
        (lambda lines, at: [*lines[:at], *lines[at + 1 :]], "dropped"),
        (lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], "swapped"),
        (lambda lines, at: [*lines[:at], lines[at][:40]], "truncated"),
        (lambda lines, at: [*lines[: at + 1], lines[at], *lines[at + 1 :]], "appended"),
        (lambda lines, at: [line.replace(b'"signature":"', b'"signature":"A') for line in lines], "bad signature"),
    ],
    ids=["flipped", "dropped", "swapped", "truncated", "appended", "signature"],
)
def test_what_was_done_to_a_log_is_named_with_the_number(
    stopped: Service, copy: tuple[Path, Path], change: Callable[[list[bytes], int], list[bytes]], kind: str
) -> None:
    lines = copy[0].read_bytes().splitlines(keepends=True)
    at = attempt_numbers(lines)[3]
    copy[0].write_bytes(b"".join(change(lines, at)))
    found = json.loads(verify(stopped, copy, 1, "--json"))["damage"]
    assert found["kind"] == kind
    if kind != "bad signature":
        assert found["seq"] == json.loads(lines[at])["seq"]


def test_a_log_that_was_made_anew_contradicts_its_signatures(stopped: Service, copy: tuple[Path, Path]) -> None:
    """Whoever has the disk can make every hash fit, but not sign."""
    lines = copy[0].read_bytes().splitlines()
    at = attempt_numbers(lines)[3]
    lines[at] = lines[at].replace(b'"device":"phone"', b'"device":"other"')
    new, head = [], unseal(lines[0])[1]
    for line in lines:
        body, _ = unseal(line)
        new.append(seal(head, body))
        head = link(head, body)
    copy[0].write_bytes(b"".join(new))
    found = json.loads(verify(stopped, copy, 1, "--json"))["damage"]
    assert found["kind"] == "flipped"
    assert found["seq"] <= json.loads(lines[at])["seq"]


def test_a_log_that_was_cut_back_contradicts_what_the_collector_has(
    stopped: Service, copy: tuple[Path, Path], tmp_path: Path
) -> None:
    lines = copy[0].read_bytes().splitlines(keepends=True)
    (tmp_path / "collected").write_bytes(b"".join(line for line in lines if b'"type":"checkpoint"' in line[:40]))
    copy[0].write_bytes(b"".join(lines[: attempt_numbers(lines)[3]]))
    assert "The log is whole" in verify(stopped, copy, 0)
    assert "truncated: a checkpoint that was kept elsewhere" in verify(
        stopped, copy, 1, "--checkpoints", str(tmp_path / "collected")
    )


def test_a_line_that_was_put_in_while_nothing_ran_is_named_although_the_hub_went_on(own: Service) -> None:
    own.start()
    own.dig("before.blocked.test")
    own.recorded(1)
    assert own.stop() == 0
    [path] = (own.data / "log").glob("*.ndjson")
    lines = path.read_bytes().splitlines()
    seq = json.loads(lines[-1])["seq"]
    at = attempt_numbers(lines)[0]
    forged, _ = unseal(lines[at].replace(b'"seq":%d,' % (at + 1), b'"seq":%d,' % (seq + 1)))
    body, before = unseal(lines[-1])
    with path.open("ab") as file:
        file.write(seal(link(before, body), forged))
    own.start()
    own.dig("after.blocked.test")
    own.recorded(1, name="after.blocked.test")
    found = own.enforcer("attempts", "verify", status=1)
    assert f"number {seq + 1}: appended: the hub had stopped, and this line is not that of a start" in found


def test_a_torn_last_line_is_cut_off_recorded_and_costs_nothing(own: Service) -> None:
    own.start()
    for number in range(5):
        own.dig(f"torn{number}.blocked.test")
    own.recorded(5)
    for pid in own.pids().values():
        os.kill(pid, signal.SIGSTOP)
    own.kill("run")
    for pid in own.pids().values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not own.pids(), "nothing runs")
    [path] = (own.data / "log").glob("*.ndjson")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 30])
    assert "truncated" in own.enforcer("attempts", "verify", status=1)
    own.start()
    assert own.dig("more.blocked.test").status == "NXDOMAIN"
    own.recorded(6)
    assert own.stop() == 0
    assert total(own.attempts()) == own.counted("dns_responses", outcome="blocked") == 6
    assert own.events("recovered")
    assert_whole(own)


def test_two_services_started_on_one_folder(own: Service) -> None:
    """The second says so and ends; the first does not notice."""
    own.start()
    own.dig("first.blocked.test")
    text = own.enforcer("run", status=1)
    assert "another hub (process " in text
    own.dig("second.blocked.test")
    own.recorded(2)
    assert own.stop() == 0
    assert total(own.attempts()) == own.counted("dns_responses", outcome="blocked") == 2
    assert_whole(own)


def test_after_users_were_told_a_reload_begins_to_name_devices(own: Service) -> None:
    key = "policy.notice.monitoring_notice_acknowledged"
    own.change(**{key: False})
    own.start()
    own.dig("untold.blocked.test", source=TABLET)
    [line] = own.recorded(1)
    assert (line["device"], line["client_ip"], line["service"], line["count"]) == (None, None, "chat", 1)
    assert own.enforcer("attempts", "bundle", "--device", "tablet", "--reason", "x", str(own.folder / "none.zip"))
    assert own.events("access")[0]["records"] == 0
    own.change(**{key: True})
    own.enforcer("reload")
    own.dig("told.blocked.test", source=TABLET)
    [line] = own.recorded(1, name="told.blocked.test")
    assert (line["device"], line["client_ip"]) == ("tablet", TABLET)
    assert len(own.events("configuration")) == 2


def with_history(service: Service) -> list[str]:
    """A service, not running, whose log has five days of ten days ago, signed with its key; returns these days."""
    service.start()
    ruleset = wait_for(lambda: service.events("start"), "it has started")[0]["ruleset"]
    assert service.stop() == 0
    for path in (service.data / "log").glob("*.ndjson"):
        path.unlink()
    log = DayLog(service.data / "log", open_notary("gw-1", service.data / "keys" / "checkpoint.pem"))
    noon = datetime.now(UTC).replace(hour=12) - timedelta(days=10)
    for day in range(5):
        now = noon + timedelta(days=day)
        at_ms = int(now.timestamp() * 1000)
        for number, ip in enumerate(("10.20.0.5", "10.20.0.6")):
            made = attempt(day * 10 + number, ip, ruleset=ruleset, name=f"day{day}.blocked.test")
            log.append([replace(made, ulid_ms=at_ms, time_ms=at_ms, last_ms=at_ms)], now)
    log.close()
    return [path.stem for path in days(service.data / "log")]


def test_the_life_of_a_record(own: Service, tmp_path: Path) -> None:
    """Handed on as evidence, on hold, purged, still handed on; and the log is whole at each step."""
    old = with_history(own)
    own.change(**{"attempts.retention_days": 30})
    own.start()
    assert len([line for line in own.log() if line["type"] == "checkpoint" and line["closes"] == "day"]) == 5
    whole(own.data / "log")
    bundle_of(own, tmp_path / "all", 5, 0)

    own.enforcer("attempts", "hold", "place", "case-1", "--device", "dev-1", "--reason", "grievance")
    own.enforcer("attempts", "purge", "--before", old[2], "--reason", "the pilot has ended")
    assert [path.stem for path in days(own.data / "log")][:-1] == old[2:]
    assert [event["held"] for event in own.events("purge")] == [1, 1]
    assert own.attempts(name="day0.blocked.test") == []
    assert b'"dev-2"' not in b"".join(path.read_bytes() for path in (own.data / "holds").rglob("*.*"))
    bundle_of(own, tmp_path / "held", 5, 2)
    whole(own.data / "log")
    assert [event["look"] for event in own.events("access")] == ["bundle"] * 2

    own.change(**{"attempts.retention_days": 7})
    own.enforcer("reload")
    own.restarted("hub", own.kill("hub"))
    wait_for(lambda: len(days(own.data / "log")) == 3, "retention deletes")
    assert [path.stem for path in days(own.data / "log")][:-1] == old[3:]
    assert own.dig("today.blocked.test").status == "NXDOMAIN"
    own.recorded(1, name="today.blocked.test")
    assert own.stop() == 0
    assert "Purged, with the hub's signature: 3 days" in own.enforcer("attempts", "verify")
    assert [event["held"] for event in own.events("purge")] == [1, 1, 1]
    assert_whole(own)


def bundle_of(service: Service, folder: Path, records: int, purged: int) -> None:
    """What an auditor gets, and makes of it with a Python that has no library."""
    archive = folder.with_suffix(".zip")
    service.enforcer("attempts", "bundle", "--device", "dev-1", "--reason", "case 14", str(archive))
    with ZipFile(archive) as file:
        file.extractall(folder)
    key = folder.with_suffix(".pem")
    text = service.enforcer("attempts", "key")
    key.write_text(text[text.index("-----BEGIN") :])
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), "--key", str(key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"{records} records of {records} attempts were in the log, 0 of them not signed yet" in done.stdout
    assert done.stdout.count("was purged by the hub") == purged
    assert b'"dev-2"' not in (folder / "records.ndjson").read_bytes()
