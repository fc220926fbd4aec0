from pathlib import Path

import pytest

from enforcer.attempts.attempt import Line
from enforcer.attempts.log import days
from enforcer.console.pages.inlog import Found, look
from tests.console.lab import Lab, attempt


@pytest.fixture
def long(lab: Lab) -> Lab:
    """A log of some hundred lines."""
    lab.write(*(attempt(10 + number) for number in range(300)))
    return lab


def line(lab: Lab, seq: int) -> Line:
    with lab.site.index() as index:
        found = index.numbered(seq)
    assert found is not None
    return found


def file_of(lab: Lab) -> Path:
    return days(lab.site.log)[-1]


@pytest.mark.parametrize("seq", [2, 3, 150, 151, 304, 305])
def test_every_line_is_found_between_its_neighbours(long: Lab, seq: int) -> None:
    found = look(long.site.log, line(long, seq))
    assert (found.found, found.before, found.after) == (Found.SAME, True, None if seq == 305 else True)
    assert found.is_whole
    assert found.file == "2026-11-23.ndjson"


def test_a_line_that_was_altered_is_told(long: Lab) -> None:
    own = line(long, 150)
    file_of(long).write_bytes(
        file_of(long).read_bytes().replace(f'"seq":{own.seq},"time":"2026'.encode(), b'"seq":150,"time":"2025')
    )
    found = look(long.site.log, own)
    assert found.found is Found.ALTERED
    assert not found.is_whole
    assert look(long.site.log, line(long, 151)).before is False
    assert look(long.site.log, line(long, 149)).is_whole


def test_a_line_that_was_taken_out_is_gone_and_its_neighbours_show_it(long: Lab) -> None:
    own = line(long, 150)
    lines = file_of(long).read_bytes().splitlines(keepends=True)
    file_of(long).write_bytes(b"".join(lines[:149] + lines[150:]))
    assert look(long.site.log, own).found is Found.GONE
    assert look(long.site.log, line(long, 151)).before is False
    assert look(long.site.log, line(long, 149)).after is False


def test_a_file_that_is_not_there_is_no_alarm(long: Lab) -> None:
    own = line(long, 150)
    file_of(long).unlink()
    assert look(long.site.log, own).found is Found.GONE


def test_a_damaged_neighbour_is_told(long: Lab) -> None:
    own = line(long, 150)
    lines = file_of(long).read_bytes().splitlines(keepends=True)
    lines[150] = lines[150][:-40] + b"x" * 39 + b"\n"
    file_of(long).write_bytes(b"".join(lines))
    assert look(long.site.log, own).after is False


def test_a_line_that_is_being_written_is_no_neighbour_yet(long: Lab) -> None:
    with file_of(long).open("ab") as file:
        file.write(b'{"v":1,"type":"att')
    assert look(long.site.log, line(long, 305)).after is None
