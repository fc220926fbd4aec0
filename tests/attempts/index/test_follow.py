from pathlib import Path

from enforcer.attempts.index.batch import Batch
from enforcer.attempts.index.follow import Follower
from enforcer.attempts.log import BEGIN, Cursor, DayLog, days
from tests.attempts.index.site import DAY_MS, attempt
from tests.records import NOON_MS, moment


class Kept(Follower):
    """An index in memory."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.at: tuple[Cursor, bytes | None] = (BEGIN, None)
        self.seqs: list[object] = []

    def _place(self) -> tuple[Cursor, bytes | None]:
        return self.at

    def _store(self, batch: Batch, place: Cursor, digest: bytes) -> None:
        self.seqs += [row[0] for row in batch.attempts]
        self.at = place, digest


def test_it_reads_on_in_steps_over_days_and_no_further_than_it_is_told(tmp_path: Path) -> None:
    log = DayLog(tmp_path)
    log.append([attempt(n) for n in range(3)], moment(NOON_MS))
    log.sync()
    halfway = log.synced
    log.append([attempt(n) for n in range(3, 5)], moment(NOON_MS + DAY_MS))
    log.close()
    kept = Kept(tmp_path)
    assert [kept.advance(halfway, 2) for _ in range(3)] == [2, 1, 0]
    assert [kept.advance(log.synced, 10) for _ in range(2)] == [2, 0]
    assert kept.seqs == [1, 2, 3, 4, 5]
    assert kept.agrees()


def test_another_log_than_the_one_that_was_read_does_not_agree(tmp_path: Path) -> None:
    log = DayLog(tmp_path)
    log.append([attempt(1)], moment(NOON_MS))
    log.close()
    kept = Kept(tmp_path)
    assert kept.agrees(), "nothing was read"
    kept.advance(log.synced, 10)
    (path,) = days(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a.chat.test", b"b.chat.test"))
    assert not kept.agrees()
    path.write_bytes(data[:-10])
    assert not kept.agrees()
    path.unlink()
    assert kept.agrees(), "purged meanwhile"
