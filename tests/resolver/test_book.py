"""What a worker writes down, seen through the handler's tests too (`test_handler`): here, the book alone."""

from pathlib import Path

import pytest

from enforcer.attempts.spool import Spool
from enforcer.counters import Counters, Transport, word
from enforcer.decide.dns import Outcome, Reply
from enforcer.orders import PROBE_REALM
from enforcer.policy.rules import Answer
from enforcer.policy.verdict import Action, Client, Destination, Layer, Verdict
from enforcer.resolver.book import Book
from enforcer.wire.dns import read_query
from tests.policy.made import NOW
from tests.resolver.desk import BANS, a_query, attempts

QUERY = read_query(a_query("www.chat.test"))
VERDICT = BANS.judge(Destination(Layer.DNS, name=QUERY.qname), Client("lab"), NOW)
BLOCKED = Reply(bytes(3) + b"\3" + bytes(8), Outcome.BLOCKED, VERDICT, Answer.NXDOMAIN, None, 15)


class Written:
    """A book with its spool and its clock."""

    def __init__(self, folder: Path, *, name_clients: bool = True, max_bytes: int = 1 << 20) -> None:
        self.ms = 1_000_000
        self.folder = folder / "spool"
        self.spool = Spool(self.folder, window_ms=60_000, max_bytes=max_bytes, capacity=4, heap=4000)
        self.counters = Counters(folder / "counters")
        self.book = Book(self.spool, self.counters.words, lambda: self.ms, name_clients=name_clients)
        self.book.tick(self.ms)

    def block(
        self, client: int | bytes = 1, address: str = "192.0.2.1", reply: Reply = BLOCKED, realm: str = "lab"
    ) -> bool:
        rows = self.book.rows(reply, QUERY, realm, Transport.UDP)
        if rows is not None:
            self.book.record(rows, client, address, 40_000)
        return rows is not None


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_our_own_probe_leaves_no_trace(written: Written) -> None:
    assert not written.block(realm=PROBE_REALM)
    assert attempts(written.folder) == []


def test_repeats_of_a_client_are_one_row_and_each_client_has_its_own(written: Written) -> None:
    for _ in range(3):
        written.block()
    written.block(2, "192.0.2.2")
    assert [(count, entry.client_ip) for count, entry in attempts(written.folder)] == [
        (3, "192.0.2.1"),
        (1, "192.0.2.2"),
    ]
    (_, entry), _ = attempts(written.folder)
    assert (entry.block.name, entry.block.qtype, entry.block.rcode, entry.block.ede) == (
        "www.chat.test",
        "A",
        "NXDOMAIN",
        15,
    )


@pytest.mark.parametrize("verdict", [None, Verdict(Action.ALLOW)])
def test_what_is_allowed_cannot_be_written(written: Written, verdict: Verdict | None) -> None:
    assert not written.block(reply=Reply(b"", Outcome.FORWARDED, verdict))
    assert attempts(written.folder) == []


def test_before_the_users_were_told_all_clients_share_one_row_without_an_address(tmp_path: Path) -> None:
    written = Written(tmp_path, name_clients=False)
    written.block()
    written.block(2, "192.0.2.2")
    assert [(count, entry.client_ip) for count, entry in attempts(written.folder)] == [(2, None)]


def test_when_the_spool_begins_another_segment_rows_begin_anew(written: Written) -> None:
    written.block()
    written.book.follow("another", name_clients=True)
    written.block()
    written.block()
    assert sorted((count, entry.block.ruleset) for count, entry in attempts(written.folder)) == [
        (1, ""),
        (2, "another"),
    ]


def test_a_full_spool_drops_and_counts(tmp_path: Path) -> None:
    written = Written(tmp_path, max_bytes=1)
    for client in range(50):
        written.block(client)
    kept = sum(count for count, _ in attempts(written.folder))
    assert written.counters.words[word("attempts_dropped", "spool_full")] == 50 - kept > 0
