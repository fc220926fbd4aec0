"""The way from the spool to the log; the last part kills it at every write."""

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import POSITIONS
from enforcer.attempts.block import encode_block, with_client
from enforcer.attempts.log import DayLog, days
from enforcer.attempts.spool import HEADER, ROW_WORDS, Spool, segments
from enforcer.devices.device import Device
from enforcer.devices.inventory import Inventory, Kind
from enforcer.devices.prefix import host_prefix
from enforcer.devices.registry import Registry, Waits
from enforcer.devices.session import Report, Status
from enforcer.devices.subject import Subject
from enforcer.hub.recorder import BATCH, Recorder
from tests.records import BLOCK, NOON_MS, logged, moment, registry, spooled, whole

WINDOW_MS = 60_000


class Late[T](Future[T]):
    """What a disk does: it is done when somebody looks for the second time, or waits."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__()
        self._work, self._looks = work, 0

    def done(self) -> bool:
        self._looks += 1
        return self._looks > 1

    def result(self, timeout: float | None = None) -> T:
        return self._work()


class LateDisk(Executor):
    """A disk that is waited for elsewhere, while the recorder goes on."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return Late(lambda: fn(*args, **kwargs))


@dataclass
class Site:
    """One data folder with a worker and a hub, and a clock that both look at. late: its disk takes its time."""

    folder: Path
    aggregate_s: float = 60.0
    owners: Registry = field(default_factory=Registry)
    now_ms: int = NOON_MS
    late: bool = False

    def __post_init__(self) -> None:
        (self.folder / "run").mkdir()
        self.worker("dns-0")
        self.start()

    def worker(self, name: str, **sizes: int) -> None:
        window_ms = round(self.aggregate_s * 1000)
        self.spool = Spool(self.folder / "spool" / name, window_ms=window_ms, max_bytes=1 << 30, **sizes)
        self.rows: dict[bytes, int] = {}

    def start(self) -> None:
        self.log = DayLog(self.folder / "log", disk=LateDisk() if self.late else None)
        self.recorder = Recorder(
            spool=self.folder / "spool",
            log=self.log,
            marks=self.folder / "run" / "recorder.json",
            node="gw",
            owners=self.owners,
            aggregate_s=self.aggregate_s,
            fsync_s=1.0,
            ban="ban-1",
        )

    def kill(self) -> None:
        """As SIGKILL leaves it: nothing is written, every file is let go."""
        for source in self.recorder._shelf.sources.values():
            source.segment.close()
        if self.log._fd >= 0:
            os.close(self.log._fd)

    def attempt(self, entry: bytes, times: int = 1) -> None:
        """As a worker does it: a row for an entry that is new in its window, a count for one that is not."""
        for _ in range(times):
            generation = self.spool.generation
            row = self.rows.get(entry)
            if row is None or not self.spool.repeat(row, self.now_ms):
                row = self.spool.open(entry, self.now_ms)
                if self.spool.generation != generation:
                    self.rows.clear()
                self.rows[entry] = row

    def seal(self) -> None:
        self.spool.seal()
        self.rows.clear()

    def kill_worker(self) -> None:
        """As SIGKILL leaves it: not sealed, and without its lock."""
        if self.spool._map is not None:
            self.spool.rows.release()
            self.spool._map.close()
            os.close(self.spool._fd)
        for fd in self.spool._unsynced:
            os.close(fd)
        self.spool._fd, self.spool._map = -1, None
        self.spool._unsynced.clear()
        self.rows.clear()

    def poll(self, after_ms: int = 0) -> int:
        self.now_ms += after_ms
        return self.recorder.poll(self.now_ms, moment(self.now_ms))

    def settle(self) -> None:
        """Until all is logged, synced and deleted."""
        self.seal()
        self.spool.sync()
        for _ in range(5):
            while self.poll(after_ms=2000):
                pass

    def lines(self, kind: str = "attempt") -> list[dict[str, object]]:
        return [line for line in logged(self.folder / "log") if line["type"] == kind]

    def events(self, event: str) -> list[dict[str, object]]:
        return [line["detail"] for line in self.lines("event") if line["event"] == event]  # type: ignore[misc]

    def left(self) -> list[Path]:
        """The segments that still hold something."""
        return [path for path in (self.folder / "spool").rglob("*.segment") if path.stat().st_size]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


SIM = {name: Subject(imsi=f"00101000000000{name[-1]}") for name in ("dev-1", "dev-2", "dev-9")}


def connected(site: Site) -> Registry:
    """Owners who come and go: two devices of the inventory, known by their SIMs."""
    devices = {name: Device(name, "team") for name in ("dev-1", "dev-2")}
    keys = {(Kind.IMSI, str(SIM[name].imsi)): device for name, device in devices.items()}
    keys[Kind.TOKEN, "ab"] = devices["dev-2"]
    owners = Registry(Inventory(tuple(devices.values()), keys))
    owners.waits["lab"] = Waits(unknown_ms=5000, settle_ms=1000)
    site.owners = owners
    site.recorder.use(owners)
    return owners


def tell(site: Site, device: str, status: Status, at_ms: int, session: str | None = None) -> None:
    """A gateway's report of what happened at a moment, which arrives now."""
    prefix = host_prefix(ip_address("192.0.2.1"))
    late_s = round((site.now_ms - at_ms) / 1000)
    report = Report("lab", "pgw", status, site.now_ms, session or device, at_ms, late_s, prefixes=(prefix,))
    site.owners.report(replace(report, subject=SIM[device]))


def whose(site: Site) -> list[tuple[object, object]]:
    return [(line["device"], line["count"]) for line in site.lines()]


def test_r12_an_attempt_that_is_faster_than_its_accounting_waits_for_it(site: Site) -> None:
    connected(site)
    site.attempt(spooled())
    site.poll(after_ms=4000)
    assert whose(site) == []
    assert sum(site.recorder.live().values()) == 0
    tell(site, "dev-1", Status.START, site.now_ms - 5000)
    site.poll()
    assert whose(site) == [("dev-1", 1)]
    assert site.owners.lookups.total() == 1


def test_r12_an_attempt_that_nobody_claims_is_unresolved_after_five_seconds(site: Site) -> None:
    connected(site)
    site.attempt(spooled(), times=3)
    site.poll(after_ms=4900)
    assert whose(site) == []
    site.poll(after_ms=200)
    assert whose(site) == [(None, 1)]
    (line,) = site.lines()
    assert line["identity"]["state"] == "unresolved"  # type: ignore[index]
    site.settle()
    assert whose(site) == [(None, 1), (None, 2)]


def test_what_is_not_in_the_inventory_does_not_wait_for_longer(site: Site) -> None:
    connected(site)
    tell(site, "dev-9", Status.START, site.now_ms - 1000)
    site.attempt(spooled())
    site.poll(after_ms=1000)
    ((device, count),) = whose(site)
    assert (str(device)[:9], count) == ("unlisted:", 1)


def test_a_moment_is_waited_for_who_may_just_have_got_the_address(site: Site) -> None:
    connected(site)
    tell(site, "dev-1", Status.START, site.now_ms - 60_000)
    site.poll()
    site.attempt(spooled())
    site.poll(after_ms=500)
    assert whose(site) == []
    tell(site, "dev-2", Status.START, site.now_ms - 1000)
    site.poll(after_ms=500)
    assert whose(site) == [("dev-2", 1)]


def test_each_has_its_own_share_of_what_is_counted_in_one_row(site: Site) -> None:
    connected(site)
    tell(site, "dev-1", Status.START, site.now_ms - 60_000)
    site.attempt(spooled())
    site.poll(after_ms=1000)
    site.attempt(spooled(), times=4)
    for _ in range(10):
        site.poll(after_ms=500)
    changed_ms = site.now_ms
    site.now_ms += 600
    site.attempt(spooled(), times=7)
    site.poll(after_ms=2000)
    tell(site, "dev-2", Status.START, changed_ms)
    site.poll()
    assert whose(site) == [("dev-1", 1), ("dev-1", 4), ("dev-2", 7)]
    site.attempt(spooled(), times=2)
    site.settle()
    assert whose(site)[3:] == [("dev-2", 2)]
    assert sum(int(str(count)) for _, count in whose(site)) == 14


def test_who_attaches_while_a_record_waits_has_what_comes_after(site: Site) -> None:
    connected(site)
    site.attempt(spooled())
    site.poll(after_ms=1000)
    tell(site, "dev-1", Status.START, site.now_ms)  # after the first attempt, which stays nobody's
    for _ in range(12):
        site.poll(after_ms=500)
    assert whose(site) == [(None, 1)]
    site.attempt(spooled(), times=3)
    site.settle()
    assert whose(site) == [(None, 1), ("dev-1", 3)]


def test_a_stop_alone_closes_the_window_too(site: Site) -> None:
    connected(site)
    tell(site, "dev-1", Status.START, site.now_ms - 60_000)
    site.attempt(spooled(), times=3)
    site.poll(after_ms=1000)
    site.now_ms += 1000
    tell(site, "dev-1", Status.STOP, site.now_ms)
    site.poll()
    assert whose(site) == [("dev-1", 1), ("dev-1", 2)]


def test_an_interim_closes_no_window(site: Site) -> None:
    connected(site)
    tell(site, "dev-1", Status.START, site.now_ms - 60_000)
    site.attempt(spooled(), times=3)
    site.poll(after_ms=1000)
    tell(site, "dev-1", Status.INTERIM, site.now_ms)
    site.poll(after_ms=1000)
    assert whose(site) == [("dev-1", 1)]


def test_what_a_client_has_shown_tells_its_device(site: Site) -> None:
    connected(site)
    entry = with_client(encode_block(BLOCK), "203.0.113.9", 4, "token:ab")
    site.attempt(entry)
    site.poll(after_ms=1000)
    (line,) = site.lines()
    assert (line["device"], line["identity"]["source"]) == ("dev-2", "token")  # type: ignore[index]


def test_an_ended_segment_is_kept_until_its_last_record_has_waited(site: Site) -> None:
    connected(site)
    site.attempt(spooled(), times=2)
    site.seal()
    site.spool.sync()
    site.poll(after_ms=1000)
    assert whose(site) == []
    assert len(site.left()) == 1
    tell(site, "dev-1", Status.START, site.now_ms - 2000)
    site.settle()
    assert whose(site) == [("dev-1", 1), ("dev-1", 1)]
    assert site.left() == []


def test_a_hub_killed_while_a_record_waits_loses_nothing(site: Site) -> None:
    connected(site)
    site.attempt(spooled(), times=2)
    site.poll()
    site.kill()
    site.start()
    tell(site, "dev-1", Status.START, site.now_ms - 1000)
    site.poll(after_ms=1000)
    site.settle()
    assert whose(site) == [("dev-1", 1), ("dev-1", 1)]


def test_after_a_long_absence_records_do_not_wait_and_have_who_it_was_then(site: Site) -> None:
    connected(site)
    tell(site, "dev-1", Status.START, site.now_ms - 60_000)
    site.attempt(spooled())
    site.now_ms += 600_000
    tell(site, "dev-2", Status.START, site.now_ms - 300_000)
    site.poll()
    assert whose(site) == [("dev-1", 1)]


def test_the_first_attempt_is_a_line_at_once(site: Site) -> None:
    site.attempt(spooled())
    assert site.poll() == 1
    (line,) = site.lines()
    assert (line["count"], line["time"], line["last"]) == (1, "2026-11-23T12:00:00.000Z", "2026-11-23T12:00:00.000Z")
    assert line["src"] == {"worker": "dns-0", "epoch": NOON_MS, "from": 1, "to": 1}
    assert line["ban"] == "ban-1"


def test_repeats_become_one_summary_when_the_window_is_over(site: Site) -> None:
    site.attempt(spooled())
    site.poll()
    site.now_ms += 500
    site.attempt(spooled(), times=41)
    site.poll(after_ms=100)
    assert len(site.lines()) == 1
    site.poll(after_ms=WINDOW_MS)
    site.poll(after_ms=1000)
    _, summary = site.lines()
    assert (summary["count"], summary["src"]) == (41, {"worker": "dns-0", "epoch": NOON_MS, "from": 2, "to": 42})
    assert (summary["time"], summary["last"]) == ("2026-11-23T12:00:00.500Z", "2026-11-23T12:00:00.500Z")


def test_the_second_row_has_positions_of_its_own(site: Site) -> None:
    site.attempt(spooled())
    site.attempt(spooled(name="b.chat.test"))
    site.poll()
    assert [line["src"]["from"] for line in site.lines()] == [1, POSITIONS + 1]  # type: ignore[index]


def test_a_row_of_another_worker_waits_while_a_line_of_the_same_attempts_is_open(site: Site) -> None:
    site.attempt(spooled())
    site.worker("dns-1")
    site.attempt(spooled(), times=3)
    site.poll()
    assert [line["count"] for line in site.lines()] == [1]
    site.poll(after_ms=WINDOW_MS + 1000)
    assert [line["count"] for line in site.lines()] == [1, 3]


def test_two_addresses_of_one_device_share_a_window(tmp_path: Path) -> None:
    site = Site(tmp_path, owners=registry(("dev-1", "192.0.2.1"), ("dev-1", "192.0.2.2")))
    site.attempt(spooled("192.0.2.1"))
    site.attempt(spooled("192.0.2.2"))
    site.poll()
    assert [line["client_ip"] for line in site.lines()] == ["192.0.2.1"]
    site.settle()
    assert [line["device"] for line in site.lines()] == ["dev-1", "dev-1"]


def test_a_window_later_the_next_attempt_is_a_line_at_once_again(site: Site) -> None:
    site.attempt(spooled())
    site.poll()
    site.now_ms += WINDOW_MS
    site.attempt(spooled())
    assert site.poll() == 1


def test_without_aggregation_each_attempt_is_a_line_at_once(tmp_path: Path) -> None:
    site = Site(tmp_path, aggregate_s=0)
    site.attempt(spooled(), times=5)
    site.poll()
    assert [line["count"] for line in site.lines()] == [1] * 5


def test_a_changed_owner_closes_the_window(tmp_path: Path) -> None:
    site = Site(tmp_path, owners=registry(("dev-1", "192.0.2.1")))
    site.attempt(spooled())
    site.poll()
    site.attempt(spooled(), times=5)
    site.recorder.use(registry(("dev-2", "192.0.2.1")))
    site.poll()
    site.attempt(spooled(), times=7)
    site.poll(after_ms=WINDOW_MS + 1000)
    assert [(line["device"], line["count"]) for line in site.lines()] == [("dev-1", 1), ("dev-1", 5), ("dev-2", 7)]


def test_a_client_that_must_not_be_written_down_is_nobody(tmp_path: Path) -> None:
    site = Site(tmp_path, owners=registry(("dev-1", "192.0.2.1")))
    site.attempt(spooled(None))
    site.poll()
    (line,) = site.lines()
    assert (line["client_ip"], line["client_port"], line["device"], line["group"]) == (None, None, None, None)
    assert line["identity"]["source"] == "unknown"  # type: ignore[index]


def test_live_totals_are_exact_before_there_is_a_line(site: Site) -> None:
    site.attempt(spooled(), times=10)
    site.poll()
    site.attempt(spooled(), times=5)
    assert site.recorder.live() == {("chat", "dns", "blocked", "unknown"): 15}
    site.settle()
    assert site.recorder.live() == {("chat", "dns", "blocked", "unknown"): 15}


def test_a_segment_is_deleted_when_all_of_it_is_logged_and_on_the_disk(site: Site) -> None:
    site.attempt(spooled(), times=3)
    site.poll()
    site.seal()
    site.poll(after_ms=10)
    assert len(site.left()) == 1, "its lines are not synced yet"
    site.poll(after_ms=1000)
    assert site.left() == []
    assert sum(line["count"] for line in site.lines()) == 3  # type: ignore[misc]


def test_a_segment_of_a_killed_worker_is_finished_too(site: Site) -> None:
    site.attempt(spooled(), times=3)
    site.kill_worker()
    site.poll()
    site.poll(after_ms=1000)
    assert site.left() == []
    assert [line["count"] for line in site.lines()] == [1, 2]


def test_a_workers_newest_segment_keeps_its_name_so_that_no_epoch_is_used_twice(site: Site) -> None:
    site.attempt(spooled())
    site.settle()
    (path,) = (site.folder / "spool" / "dns-0").iterdir()
    assert (path.name, path.stat().st_size) == (f"{NOON_MS}.segment", 0)
    site.now_ms = NOON_MS
    site.worker("dns-0")
    site.attempt(spooled())
    site.settle()
    assert [line["src"]["epoch"] for line in site.lines()] == [NOON_MS, NOON_MS + 1]  # type: ignore[index]
    assert not path.exists()


def test_a_segment_that_is_just_being_made_is_left_alone(site: Site) -> None:
    path = site.folder / "spool" / "dns-0" / f"{NOON_MS}.segment"
    path.touch()
    site.poll(after_ms=100_000)
    assert path.exists()


def test_a_segment_that_was_never_begun_is_deleted_when_its_worker_has_gone_on(site: Site) -> None:
    short, blank = (site.folder / "spool" / "dns-0" / f"{epoch}.segment" for epoch in (5, 6))
    short.touch()
    blank.write_bytes(bytes(4096))
    site.attempt(spooled())
    site.poll()
    assert [path.exists() for path in (short, blank)] == [False, False]
    assert site.events("gap") == []


def test_a_segment_with_a_damaged_header_is_kept_aside_and_recorded(site: Site) -> None:
    path = site.folder / "spool" / "dns-0" / "5.segment"
    path.write_bytes(b"\xff" * 4096)
    site.attempt(spooled())
    site.poll()
    assert path.with_suffix(".damaged").exists()
    assert site.events("gap") == [{"worker": "dns-0", "epoch": 5, "row": None, "count": None, "reason": "header"}]


def damage(site: Site, index: int) -> None:
    """Turn a bit of a row's entry."""
    path = site.left()[0]
    data = bytearray(path.read_bytes())
    words = memoryview(data).cast("Q")
    words[HEADER // 8 + index * ROW_WORDS + 5] ^= 1
    words.release()
    with path.open("r+b") as file:
        file.write(data)


def test_a_damaged_row_is_recorded_once_and_the_others_are_kept(site: Site) -> None:
    for name in ("a.chat.test", "b.chat.test", "c.chat.test"):
        site.attempt(spooled(name=name), times=2)
    damage(site, 1)
    site.poll()
    assert [line["name"] for line in site.lines()] == ["a.chat.test"], "a row may be on its way for a moment"
    site.poll(after_ms=1000)
    assert [line["name"] for line in site.lines()] == ["a.chat.test", "c.chat.test"]
    site.seal()
    site.poll()
    site.kill()
    site.start()
    site.settle()
    assert site.events("gap") == [
        {"worker": "dns-0", "epoch": NOON_MS, "row": 1, "count": 2, "reason": "row"},
    ]
    assert Counter(line["name"] for line in site.lines()) == {"a.chat.test": 2, "c.chat.test": 2}
    assert site.left() == []


def test_a_row_that_grew_after_its_summary_is_completed_when_the_segment_ends(site: Site) -> None:
    site.attempt(spooled(), times=2)
    site.poll()
    site.poll(after_ms=WINDOW_MS + 1000)
    row = next(iter(site.rows.values()))
    site.spool.rows[row] += 4  # by a worker that was stopped in mid-batch
    site.settle()
    assert [line["count"] for line in site.lines()] == [1, 1, 4]


def test_a_clock_that_goes_back_is_recorded_and_loses_nothing(site: Site) -> None:
    site.attempt(spooled(), times=2)
    site.poll()
    site.now_ms -= 86_400_000
    site.attempt(spooled(), times=2)
    site.poll()
    assert site.events("clock_step") == [{"back_ms": 86_400_000}]
    assert [path.stem for path in days(site.folder / "log")] == ["2026-11-23"]
    site.poll(after_ms=WINDOW_MS + 1000)
    assert [line["count"] for line in site.lines()] == [1, 3], "the summary does not wait for a day"
    site.attempt(spooled(), times=2)
    site.settle()
    assert [line["count"] for line in site.lines()] == [1, 3, 2]


def test_lost_attempts_become_events_with_what_was_added(site: Site) -> None:
    site.recorder.lost("dns-0", {"spool_full": 7, "disk_full": 0}, moment(site.now_ms))
    site.poll()
    site.kill()
    site.start()
    site.recorder.lost("dns-0", {"spool_full": 10, "disk_full": 0}, moment(site.now_ms))
    site.poll()
    assert site.events("loss") == [
        {"worker": "dns-0", "reason": "spool_full", "count": 7, "total": 7},
        {"worker": "dns-0", "reason": "spool_full", "count": 3, "total": 10},
    ]


def test_what_was_lost_is_not_counted_again_after_the_marks_have_moved_on(site: Site) -> None:
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.attempt(spooled())
    site.poll()  # the event, then marks for the new segment
    site.kill()
    site.start()
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.recorder.lost("dns-0", {"spool_full": 2}, moment(site.now_ms))  # the worker's counts began anew
    site.poll()
    assert [detail["count"] for detail in site.events("loss")] == [7, 2]


def test_a_full_disk_keeps_the_spool_and_everything_is_written_later(site: Site) -> None:
    site.attempt(spooled(), times=3)
    with failing("write", OSError(28, "No space left on device")):
        site.poll()
    assert site.recorder.trouble == "the record cannot be written: No space left on device"
    assert site.lines() == []
    assert site.poll(after_ms=500) == 0, "it is tried once a second"
    assert site.poll(after_ms=500) == 1
    site.settle()
    assert [line["count"] for line in site.lines()] == [1, 2]
    assert site.left() == []


def test_a_failed_sync_deletes_nothing_and_writes_the_lines_again(site: Site) -> None:
    site.attempt(spooled(), times=3)
    site.poll()
    site.seal()
    with failing("fdatasync", OSError(5, "Input/output error")):
        site.poll(after_ms=1000)
        assert site.recorder.trouble == "the record cannot be written: Input/output error"
        assert len(site.left()) == 1
    before = site.lines()
    site.settle()
    assert site.lines()[: len(before)] == before
    assert site.left() == []
    whole(site.folder / "log")


def test_a_poll_is_bounded(site: Site) -> None:
    for number in range(BATCH + 500):
        site.attempt(spooled(name=f"{number}.chat.test"))
    assert [site.poll(), site.poll(), site.poll()] == [BATCH, 500, 0]


def test_lost_marks_make_it_read_the_whole_log(site: Site) -> None:
    site.attempt(spooled(), times=3)
    site.poll()
    for _ in range(2):
        site.kill()
        (site.folder / "run" / "recorder.json").unlink()
        site.start()
        site.poll()
        site.kill()
        site.start()
        site.poll()
    site.settle()
    assert [line["count"] for line in site.lines()] == [1, 2]


def test_a_loss_that_a_power_cut_took_from_the_log_is_recorded_again(site: Site) -> None:
    site.poll(after_ms=2000)
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.attempt(spooled())
    with failing("fdatasync", OSError(5, "Input/output error")):
        site.poll()  # the event is written; marks for the new segment would say that it was
    cut_power(site, 0, hole=False)
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.poll()
    assert site.events("loss") == [{"worker": "dns-0", "reason": "spool_full", "count": 7, "total": 7}]


def move_log_away(site: Site) -> None:
    site.kill()
    shutil.rmtree(site.folder / "log")
    site.start()


def test_after_the_log_was_moved_away_no_attempt_is_doubled(site: Site) -> None:
    for number in range(9):
        site.attempt(spooled(name=f"{number}.chat.test"))
    site.poll()
    site.seal()
    site.attempt(spooled(), times=2)
    site.poll()
    site.poll(after_ms=1000)  # what is left has its mark behind line 9
    move_log_away(site)
    site.poll()
    first = site.spool
    site.worker("dns-1")
    site.attempt(spooled(name="b.chat.test"))
    site.poll()  # writes the marks anew
    site.kill()
    site.start()
    first.close()
    site.settle()
    assert [(line["name"], line["count"]) for line in site.lines()] == [
        ("a.chat.test", 1),
        ("b.chat.test", 1),
        ("a.chat.test", 1),
    ]


def test_after_the_log_was_moved_away_no_loss_is_doubled(site: Site) -> None:
    site.attempt(spooled())
    site.poll()
    site.seal()
    site.attempt(spooled())
    site.settle()  # the marks are behind line 1, and nothing is spooled
    move_log_away(site)
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.poll()
    site.kill()
    site.start()
    site.recorder.lost("dns-0", {"spool_full": 7}, moment(site.now_ms))
    site.poll()
    assert len(site.events("loss")) == 1


@contextmanager
def failing(call: str, error: OSError) -> Iterator[None]:
    with mock.patch.object(os, call, side_effect=error):
        yield


class Killed(BaseException):
    """In place of SIGKILL: nothing catches it."""


@contextmanager
def fault(after: int, part: float, error: BaseException | None) -> Iterator[None]:
    """Let `after` calls that change a file pass; the next one is done in part (a write) or not at all, and raises.

    With an OSError, all that follow fail as well, as a full disk does.
    """
    left = after

    def breaking(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left >= 0 or (left < -1 and not isinstance(error, OSError)):
                return real(*arguments, **options)
            if name == "write":
                fd, data = arguments
                real(fd, bytes(data)[: int(len(data) * part)])  # type: ignore[arg-type, call-overload]
            elif part > 0.5 and not isinstance(error, OSError):
                real(*arguments, **options)  # killed right behind the call
            raise error or Killed

        return call

    with ExitStack() as patches:
        for owner, name in CHANGES:
            patches.enter_context(mock.patch.object(owner, name, breaking(name, getattr(owner, name))))
        yield


CHANGES = [*((os, name) for name in ("write", "fdatasync", "fsync", "ftruncate")), (Path, "replace"), (Path, "unlink")]
ENTRIES = [
    spooled(ip, name) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3") for name in ("a.chat.test", "b.chat.test")
]

STEPS = st.one_of(
    st.tuples(st.just("attempt"), st.integers(0, len(ENTRIES) - 1), st.integers(1, 5)),
    st.tuples(st.just("poll"), st.sampled_from([0, 10, 900, 1100, 30_000, 61_000, 90_000_000])),
    st.tuples(st.just("killed"), st.integers(0, 12), st.floats(0, 1)),
    st.tuples(st.just("full"), st.integers(0, 6), st.floats(0, 1)),
    st.tuples(st.just("power cut"), st.integers(0, 3000), st.booleans()),
    st.tuples(st.just("worker killed")),
    st.tuples(st.just("seal")),
    st.tuples(st.just("clock back"), st.sampled_from([1500, 30_000, 4_000_000])),
    st.tuples(st.just("owners"), st.integers(0, 2)),
)
OWNERS = [Registry(), registry(("dev-1", "192.0.2.1")), registry(("dev-1", "192.0.2.1"), ("dev-1", "192.0.2.2"))]


def walk(site: Site, steps: list[tuple]) -> Counter[bytes]:  # type: ignore[type-arg]
    """Go through the steps; returns what was really attempted."""
    made: Counter[bytes] = Counter()
    worker = 0
    site.worker("dns-0", capacity=4, heap=2048)
    for what, *values in steps:
        match (what, *values):
            case "attempt", number, times:
                site.attempt(ENTRIES[number], times)
                made[ENTRIES[number]] += times
            case "poll", after_ms:
                site.poll(after_ms)
            case "killed", after, part:
                with suppress(Killed), fault(after, part, None):
                    site.poll(1000)
                site.kill()
                site.start()
            case "full", after, part:
                with fault(after, part, OSError(28, "No space left on device")):
                    site.poll(1000)
                    site.poll(1000)
            case "power cut", octets, hole:
                cut_power(site, octets, hole)
            case ("worker killed",):
                site.kill_worker()
                worker = 1 - worker
                site.worker(f"dns-{worker}", capacity=4, heap=2048)
            case ("seal",):
                site.seal()
            case "clock back", back_ms:
                site.now_ms -= back_ms
            case "owners", number:
                site.owners = OWNERS[number]
                site.recorder.use(site.owners)
    return made


def cut_power(site: Site, octets: int, hole: bool) -> None:
    """The log is on the disk as far as it was synced, and perhaps some octets more, or a page that was not."""
    synced = site.log.synced
    site.kill()
    if synced.day or days(site.folder / "log"):
        path = days(site.folder / "log")[-1]
        keep = synced.offset if path.stem == synced.day else 0
        size = path.stat().st_size
        os.truncate(path, min(size, keep + octets))
        if hole and size > keep:
            with path.open("r+b") as file:
                file.seek(keep + (size - keep) // 2)
                file.write(bytes(min(octets, 500)))
    site.start()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=40), late=st.booleans())
def test_whatever_is_killed_each_attempt_is_in_exactly_one_line(
    steps: list[tuple],  # type: ignore[type-arg]
    *,
    late: bool,
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        site = Site(folder, late=late)
        made = walk(site, steps)
        site.kill()
        for segment_folder in (folder / "spool").iterdir():
            assert len(list(segments(segment_folder))) < 100
        site.start()
        site.settle()
        check(site, made)
        site.recorder.close(site.now_ms, moment(site.now_ms))
        site.log.close()
        site.spool.close()
    finally:
        shutil.rmtree(folder)


def check(site: Site, made: Counter[bytes]) -> None:
    whole(site.folder / "log")
    lines = site.lines()
    counts: Counter[bytes] = Counter()
    ranges = defaultdict(list)
    for line in lines:
        source = line["src"]
        assert isinstance(source, dict)
        assert line["count"] == source["to"] - source["from"] + 1
        counts[spooled(str(line["client_ip"]), str(line["name"]))] += int(str(line["count"]))
        ranges[source["worker"], source["epoch"], source["to"] // POSITIONS].append((source["from"], source["to"]))
    assert counts == made
    for (_, _, row), covered in ranges.items():
        end = row * POSITIONS
        for first, to in sorted(covered):
            assert first == end + 1
            end = to
    assert len({line["id"] for line in lines}) == len(lines)
    assert site.events("gap") == []
    assert site.left() == []
