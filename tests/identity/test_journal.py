"""What gateways reported survives a kill, a full disk and a damaged line."""

import asyncio
import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.devices.prefix import prefix_of
from enforcer.devices.session import Report, Status
from enforcer.devices.sessions import SessionTable
from enforcer.devices.subject import Subject
from enforcer.errors import Corrupt
from enforcer.identity.journal import Journal, decode_report, decode_session, encode_report, encode_session

T0 = 1_698_710_400_000
V4, V6 = prefix_of(ip_network("10.0.0.1")), prefix_of(ip_network("2001:db8:1:2::/64"))


def report(session: str, status: Status = Status.START, at_s: int = 0, **more: object) -> Report:
    ms = T0 + at_s * 1000
    who = Subject("00101501234567", "001010123456789", "16135550123")
    return Report("apn", "pgw", status, ms, session, ms, 0, None, (V4, V6), who, "5", **more)  # type: ignore[arg-type]


def loaded(folder: Path) -> SessionTable:
    table = SessionTable()
    Journal(folder).load(table)
    return table


def holder(table: SessionTable, at_s: int) -> tuple[str, bool] | None:
    found = table.holder("apn", ip_address("10.0.0.1"), T0 + at_s * 1000)
    return None if found is None else (found.session, found.stale)


def test_a_report_and_a_session_there_and_back() -> None:
    table = SessionTable()
    for each in (report("s1"), report("s1", Status.STOP, 60, ends_all=True), report("s2", Status.INTERIM, 90)):
        assert decode_report(encode_report(each)) == each
        table.apply(each)
    for session in table.sessions():
        again = decode_session(encode_session(session))
        assert encode_session(again) == encode_session(session)


@given(st.binary())
def test_any_other_line_is_corrupt(line: bytes) -> None:
    for decode in (decode_report, decode_session):
        with pytest.raises(Corrupt):
            decode(line)


def test_what_was_appended_is_there_after_a_kill_and_stale(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([report("s1"), report("s1", Status.STOP, 60)])
    journal.append([report("s2", at_s=90)])
    table = loaded(tmp_path)
    assert [holder(table, at) for at in (30, 70, 100)] == [("s1", True), None, ("s2", True)]


def test_a_snapshot_takes_the_place_of_what_came_before(tmp_path: Path) -> None:
    journal, table = Journal(tmp_path), SessionTable()
    for each in (report("s1"), report("s1", Status.STOP, 60), report("", Status.ON, 80)):
        journal.append([each])
        table.apply(each)
    asyncio.run(journal.snapshot(table))
    journal.append([report("s2", at_s=90)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions-1.journal", "sessions-1.snapshot"]
    after = loaded(tmp_path)
    assert [holder(after, at) for at in (30, 70, 100)] == [("s1", True), None, ("s2", True)]
    assert list(after.resets()) == [("apn", "pgw", [T0 + 80_000], [])]


def test_a_kill_in_the_middle_of_a_snapshot_loses_nothing(tmp_path: Path) -> None:
    journal, table = Journal(tmp_path), SessionTable()
    journal.append([report("s1")])
    table.apply(report("s1"))
    with mock.patch.object(Path, "rename", side_effect=OSError), pytest.raises(OSError):  # noqa: PT011
        asyncio.run(journal.snapshot(table))
    journal.append([report("s2", at_s=90)])
    assert [holder(loaded(tmp_path), at) for at in (30, 100)] == [("s1", True), ("s2", True)]


def test_on_a_full_disk_nothing_is_half_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([report("s1")])
    write = os.write
    with mock.patch("os.write", side_effect=lambda fd, data: write(fd, data[:20])), pytest.raises(OSError):  # noqa: PT011
        journal.append([report("s2", at_s=90)])
    journal.append([report("s3", at_s=95)])
    table = loaded(tmp_path)
    assert [holder(table, at) for at in (92, 100)] == [("s1", True), ("s3", True)]


def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([report("s1")])
    journal.close()
    with (tmp_path / "sessions-0.journal").open("ab") as file:
        file.write(b'["apn","pg')
    journal = Journal(tmp_path)
    table = SessionTable()
    assert journal.load(table) == 1
    journal.append([report("s2", at_s=90)])
    assert [holder(loaded(tmp_path), at) for at in (30, 100)] == [("s1", True), ("s2", True)]


def test_the_folder_and_its_files_are_for_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    journal, table = Journal(folder), SessionTable()
    journal.append([report("s1")])
    asyncio.run(journal.snapshot(table))
    journal.sync()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
