import re
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Stop

import pytest

from enforcer.attempts.formats.render import Format
from enforcer.attempts.log import DayLog, days
from enforcer.attempts.sinks import Outgoing, Refused
from enforcer.attempts.sinks.cursor import cursors
from enforcer.attempts.sinks.follow import POLL_S, Course, Follow
from enforcer.errors import Unavailable
from tests.attempts.index.site import DAY_MS, attempt
from tests.records import NOON_MS, moment


class Receiver:
    """A sink in memory that can be away, lose what was sent, or refuse some names."""

    def __init__(self, settle_s: float = 0.0) -> None:
        self.settle_s = settle_s
        self.got: list[int] = []
        self.away = False
        self.broken = False
        self.refuses: set[int] = set()
        self.closed = 0

    def send(self, batch: Sequence[Outgoing]) -> None:
        if self.away:
            raise Unavailable("it is away")
        if self.refuses & {each.record.seq for each in batch}:
            raise Refused("no")
        self.got += [each.record.seq for each in batch]

    def check(self) -> None:
        if self.broken:
            self.broken = False
            raise Unavailable("it was lost")

    def close(self) -> None:
        self.closed += 1


class Site:
    """A log, and a sink that follows it by a clock of its own."""

    def __init__(self, folder: Path, settle_s: float = 0.0) -> None:
        self.log = DayLog(folder / "log")
        self.marks = folder / "sinks"
        self.marks.mkdir()
        self.receiver = Receiver(settle_s)
        self.missing: Exception | None = None
        self.now = 0.0

    def write(self, *numbers: int, day: int = 0) -> None:
        self.log.append([attempt(number) for number in numbers], moment(NOON_MS + day * DAY_MS))

    def follow(self, **course: int | bool | float) -> Follow:
        made = Course("siem", Format.JSON, **course)  # type: ignore[arg-type]
        return Follow(made, self.make, log=self.log.folder, marks=self.marks, steady=lambda: self.now)

    def make(self) -> Receiver:
        if self.missing is not None:
            raise self.missing
        return self.receiver


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def drain(follow: Follow) -> float:
    while (wait_s := follow.step()) == 0.0:
        pass
    return wait_s


def test_everything_is_sent_once_in_order_and_goes_on_after_a_restart(site: Site) -> None:
    site.write(1, 2, 3)
    follow = site.follow(batch=2)
    assert drain(follow) == POLL_S
    site.write(4, day=1)
    drain(follow)
    assert site.receiver.got == [1, 2, 3, 4]
    assert (follow.progress.records, follow.progress.seq, follow.progress.waiting_ms) == (4, 4, None)
    site.write(5, day=2)
    again = site.follow()
    assert again.progress.seq == 4
    drain(again)
    assert site.receiver.got == [1, 2, 3, 4, 5]
    assert cursors(site.marks)["siem"].seq == 5


def test_a_receiver_that_is_away_gets_everything_when_it_is_back(site: Site) -> None:
    follow = site.follow(retry_max_s=2)
    site.write(1)
    site.receiver.away = True
    assert [follow.step() for _ in range(4)] == [0.5, 1.0, 2.0, 2.0]
    progress = follow.progress
    assert (progress.trouble, progress.failures, progress.waiting_ms) == ("it is away", 4, NOON_MS)
    site.write(2)
    site.receiver.away = False
    drain(follow)
    assert site.receiver.got == [1, 2]
    assert follow.progress.trouble is None
    site.write(3)
    site.receiver.away = True
    assert follow.step() == 0.5, "a new trouble begins with a short wait"


def test_a_sink_that_cannot_be_made_is_tried_again_and_its_place_waits_for_it(site: Site) -> None:
    site.write(1)
    site.missing = Unavailable("ca.pem: cannot be used for TLS")
    follow = site.follow(from_now=True)
    assert [follow.step() for _ in range(3)] == [0.5, 1.0, 2.0]
    site.write(2, 3)
    follow.step()
    progress = follow.progress
    assert (progress.trouble, progress.failures) == ("ca.pem: cannot be used for TLS", 4)
    assert (progress.seq, progress.waiting_ms) == (1, NOON_MS), "it is behind, and says since when"
    site.missing = None
    drain(follow)
    assert site.receiver.got == [2, 3]
    assert follow.progress.trouble is None


def test_what_nobody_thought_of_is_trouble_without_a_word_of_the_record(site: Site) -> None:
    site.write(1)
    site.missing = KeyError("dev-1")
    follow = site.follow()
    assert follow.step() == 0.5
    assert re.fullmatch(r"KeyError in test_follow\.py:\d+; report it", str(follow.progress.trouble))
    site.missing = None
    drain(follow)
    assert site.receiver.got == [1]


def test_what_a_connection_may_have_lost_is_sent_again(tmp_path: Path) -> None:
    site = Site(tmp_path, settle_s=5.0)
    follow = site.follow()
    site.write(1)
    drain(follow)
    site.now = 6.0
    drain(follow)
    assert cursors(site.marks)["siem"].seq == 1, "settled"
    site.write(2)
    drain(follow)
    assert cursors(site.marks)["siem"].seq == 1, "it may still get lost"
    site.receiver.broken = True
    assert follow.step() == 0.5
    drain(follow)
    assert site.receiver.got == [1, 2, 2]
    site.now = 20.0
    drain(follow)
    site.receiver.broken = True
    follow.step()
    drain(follow)
    assert site.receiver.got == [1, 2, 2], "it had settled"


def test_a_line_that_is_refused_is_counted_and_stops_no_other(site: Site) -> None:
    site.write(*range(1, 8))
    site.receiver.refuses = {3, 4}
    follow = site.follow()
    drain(follow)
    assert site.receiver.got == [1, 2, 5, 6, 7]
    assert follow.progress.refused == 2


def test_a_new_sink_may_begin_with_what_comes(site: Site) -> None:
    site.write(1, 2)
    follow = site.follow(from_now=True)
    drain(follow)
    site.write(3)
    drain(follow)
    assert site.receiver.got == [3]
    assert site.follow(from_now=True).progress.seq == 3, "only where there is no cursor yet"


def test_in_an_empty_log_now_is_the_beginning(site: Site) -> None:
    follow = site.follow(from_now=True)
    drain(follow)
    site.write(1)
    drain(follow)
    assert site.receiver.got == [1]


def test_an_end_of_the_log_that_was_written_anew_is_sent_again_with_its_day(site: Site) -> None:
    site.write(1)
    site.write(2, 3, day=1)
    follow = site.follow()
    drain(follow)
    site.log.close()
    path = days(site.log.folder)[-1]
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")  # the power took line 3
    site.log = DayLog(site.log.folder)
    site.write(7, day=1)
    drain(follow)
    assert site.receiver.got == [1, 2, 3, 2, 3]


def test_days_that_were_deleted_before_they_were_sent_are_counted(site: Site) -> None:
    site.write(1, 2)
    follow = site.follow(batch=1)
    follow.step()
    site.write(3, day=1)
    site.write(4, day=2)
    for path in days(site.log.folder)[:2]:
        path.unlink()
    drain(follow)
    assert site.receiver.got == [1, 4]
    assert follow.progress.missed == 2


def test_damage_is_not_passed_over(site: Site) -> None:
    site.write(1)
    with days(site.log.folder)[0].open("ab") as file:
        file.write(b"nonsense\n")
    follow = site.follow()
    assert drain(follow) == 0.5
    assert "is no record" in str(follow.progress.trouble)
    assert site.receiver.got == []


def test_a_cursor_that_cannot_be_written_is_trouble(site: Site) -> None:
    follow = site.follow()
    site.write(1)
    site.marks.rmdir()
    follow.step()
    assert str(follow.progress.trouble).startswith("the cursor cannot be written")
    assert site.receiver.got == [1]


def test_it_runs_until_it_is_told_to_stop_and_closes_its_sink(site: Site) -> None:
    site.write(1)
    stop = Stop()
    follow = site.follow()
    site.receiver.check = stop.set  # type: ignore[method-assign]
    follow.run(stop)
    assert site.receiver.got == [1]
    assert site.receiver.closed == 1
