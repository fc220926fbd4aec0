"""A hub that answers, with a log and its index behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enforcer.attempts.attempt import Entry
from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.hub.access import AccessLog
from enforcer.hub.marks import Marks
from tests.cli.parts import served
from tests.hub.desk import Desk


class Indexed(Desk):
    """A desk whose log is indexed when asked."""

    def show(self, *entries: Entry) -> None:
        self.log.append(entries, self.clock())
        self.follow()

    def follow(self) -> None:
        self.log.sync()
        index = SqliteWriter(self.folders.index_file, self.folders.log)
        while index.follow(self.log.synced, 1000):
            pass
        index.close()


@contextmanager
def answering(site: Path) -> Iterator[Indexed]:
    """The hub's parts that commands about attempts ask."""
    desk = Indexed(site)
    with served(desk, [AccessLog(desk.means), Marks(desk.means)]):
        yield desk
