from pathlib import Path

import pytest

from enforcer.attempts.holds import (
    Hold,
    held_path,
    hold_of,
    keep,
    load_holds,
    place,
    prepare,
    prepared,
    release,
    withdraw,
)
from enforcer.attempts.proofs import Extract, Whose, read_extract
from enforcer.errors import Corrupt, Malformed
from tests.records import NOON_MS

DAY_MS = 86_400_000
DEVICE = Hold("case-1", "dev-1", None, None, "grievance", "alice", NOON_MS)
PERIOD = Hold("case-2", None, NOON_MS, NOON_MS + 2 * DAY_MS, "audit", "bob", NOON_MS)


@pytest.mark.parametrize("hold", [DEVICE, PERIOD], ids=["device", "period"])
def test_a_hold_is_on_the_disk_until_it_is_released(tmp_path: Path, hold: Hold) -> None:
    prepare(tmp_path, hold)
    assert (prepared(tmp_path), load_holds(tmp_path)) == ((hold,), ())
    place(tmp_path, hold)
    assert (prepared(tmp_path), load_holds(tmp_path)) == ((), (hold,))
    assert hold_of(hold.detail()) == hold
    with pytest.raises(Malformed, match="choose another name"):
        prepare(tmp_path, hold)
    release(tmp_path, hold.name)
    assert load_holds(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_what_was_prepared_keeps_its_name_until_it_is_withdrawn(tmp_path: Path) -> None:
    prepare(tmp_path, DEVICE)
    with pytest.raises(Malformed, match="choose another name"):
        prepare(tmp_path, DEVICE)
    withdraw(tmp_path, DEVICE)
    assert prepared(tmp_path) == load_holds(tmp_path) == ()
    prepare(tmp_path, DEVICE)


def test_what_is_kept_is_in_the_holds_own_folder(tmp_path: Path) -> None:
    prepare(tmp_path, DEVICE)
    place(tmp_path, DEVICE)
    keep(tmp_path, DEVICE, Extract("2026-11-23", None, ()))
    assert read_extract(held_path(tmp_path, "case-1", "2026-11-23")) == Extract("2026-11-23", None, ())
    assert (tmp_path / "case-1").stat().st_mode & 0o777 == 0o700


def test_a_device_keeps_its_lines_and_no_day(tmp_path: Path) -> None:
    assert DEVICE.whose == Whose("dev-1", None, None)
    assert not DEVICE.keeps("2026-11-23")


def test_a_period_keeps_its_days_and_the_one_after(tmp_path: Path) -> None:
    """From noon of the 23rd to noon of the 25th; what happened then may have been logged on the 26th."""
    assert PERIOD.whose is None
    kept = [day for day in range(20, 30) if PERIOD.keeps(f"2026-11-{day}")]
    assert kept == [23, 24, 25, 26]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("../x", "dev-1", None, None), "is no name of a hold"),
        (("", "dev-1", None, None), "is no name of a hold"),
        (("a", "dev-1", 2, 2), "ends before it begins"),
        (("a", None, None, None), "a hold on everything is no hold"),
        (("a", "d" * 201, None, None), "has 200 characters at most"),
    ],
)
def test_what_can_be_no_hold_is_refused(values: tuple[str, str | None, int | None, int | None], text: str) -> None:
    with pytest.raises(Malformed, match=text):
        Hold(*values, "reason", "who", NOON_MS)


def test_a_hold_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    prepare(tmp_path, DEVICE)
    place(tmp_path, DEVICE)
    for text in ("{", "[]", '{"name":"case-1"}'):
        (tmp_path / "case-1" / "hold.json").write_text(text)
        with pytest.raises(Corrupt, match="this hold cannot be read"):
            load_holds(tmp_path)
