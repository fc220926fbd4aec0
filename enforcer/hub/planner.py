"""From counted rows to attempts: each position of a row in exactly one of them, with whoever held the address."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from enforcer.attempts.attempt import POSITIONS, Attempt, Entry, Event
from enforcer.attempts.block import Block, decode_entry
from enforcer.attempts.spool import Row
from enforcer.devices.device import Owner
from enforcer.devices.registry import NOBODY
from enforcer.errors import Corrupt
from enforcer.hub.resume import DAMAGED
from enforcer.hub.rows import Client, OpenRow, OpenSegment, Owners, Total, moment_of, whose

_BLOCKS_MAX = 8192


class Planner:
    """Plans lines of the log. What is planned is in `out`, in its order, until somebody has written it.

    owners: who held an address; may be replaced. now_ms: the moment, for events. totals: attempts that lines were
    planned for since the start. last: the newest attempt of each kind.
    """

    def __init__(self, node: str, owners: Owners, ban: str | None) -> None:
        """ban: the instrument of rules that name none."""
        self.node, self.owners, self.now_ms = node, owners, 0
        self.out: list[Entry] = []
        self.totals: Counter[Total] = Counter()
        self.last: dict[tuple[str, str, str], Attempt] = {}
        self._ban = ban
        self._blocks: dict[bytes, Block] = {}

    def event(self, event: str, detail: Mapping[str, object]) -> None:
        """A line for an event."""
        self.out.append(Event(event, self.now_ms, self.node, detail))

    def decode(self, entry: bytes) -> tuple[Block, Client]:
        """An entry's block, with the ban it stands for, and the client. Raises Corrupt.

        Many clients share a block, and the bytes of an entry up to the client tell which.
        """
        shared = entry.rsplit(b",", 3)[0]
        block = self._blocks.get(shared)
        if block is None:
            read = decode_entry(entry)
            block = replace(read.block, ban=read.block.ban or self._ban)
            if len(self._blocks) >= _BLOCKS_MAX:
                self._blocks.clear()
            self._blocks[shared] = block
            return block, (read.client_ip, read.client_port, read.shown)
        try:
            client_ip, client_port, shown = json.loads(b"[" + entry[len(shared) + 1 :])
        except ValueError as error:
            raise Corrupt(f"spool entry of {len(entry)} octets has no client: {error}") from error
        return block, (client_ip, client_port, shown)

    def owner(self, row: OpenRow, at_ms: int) -> Owner:
        """Who was behind a row's attempt at a moment; nobody where clients must not be named."""
        if row.client_ip is None:
            return NOBODY
        try:
            return self.owners.owner(row.block.realm, ip_address(row.client_ip), moment_of(at_ms), row.shown)
        except ValueError:
            return NOBODY

    def rest(self, row: OpenRow) -> None:
        """A line for what is counted in a row and has none."""
        source, index = row.source, row.index
        done = source.done[index]
        if done == DAMAGED or source.segment.count(index) <= done:
            return
        try:
            read = source.segment.row(index)
        except Corrupt:
            self.gap(source, index, source.segment.count(index) - done)
            return
        begin = (read.first_ms, read.second_ms or read.last_ms)[done] if done < 2 else source.last_ms[index]
        if row.changed:
            self._shares(row, read, begin)
        else:
            self.plan(row, read.count, begin, max(begin, read.last_ms))

    def _shares(self, row: OpenRow, read: Row, begin: int) -> None:
        """A line for each that held the address in turn, with what was counted while it did."""
        last, done = max(begin, read.last_ms), row.source.done[row.index]
        shares: list[tuple[int, int, Owner]] = []
        for at_ms, to in [*(each for each in row.samples if done < each[1] < read.count), (last, read.count)]:
            owner = self.owner(row, min(at_ms, last))
            if shares and whose(shares[-1][2]) == whose(owner):
                shares.pop()
            shares.append((min(at_ms, last), to, owner))
        for at_ms, to, row.owner in shares:
            self.plan(row, to, min(begin, at_ms), at_ms)
            begin = at_ms
        row.changed = False
        row.samples.clear()

    def plan(self, row: OpenRow, to: int, time_ms: int, last_ms: int) -> None:
        """A line for the attempts of a row behind those that have one, up to its number `to`."""
        source, index = row.source, row.index
        done = source.done[index]
        worker, epoch = source.key
        base = index * POSITIONS
        attempt = Attempt(
            row.first_ms,
            time_ms,
            last_ms,
            self.node,
            worker,
            epoch,
            base + done + 1,
            base + to,
            row.block,
            row.client_ip,
            row.client_port,
            row.owner,
        )
        self.out.append(attempt)
        source.done[index] = to
        source.last_ms[index] = last_ms
        total = row.total()
        self.totals[total] += to - done
        self.owners.recorded(row.block.realm, row.owner, to - done)
        self.last[total[:3]] = attempt

    def more(self, source: OpenSegment, index: int) -> None:
        """A line for a row that grew although its window was over: its writer had been stopped in mid-batch."""
        done = source.done[index]
        try:
            read = source.segment.row(index)
            block, client = self.decode(read.entry)
        except Corrupt:
            self.gap(source, index, source.segment.count(index) - done)
            return
        row = OpenRow(source, index, block, *client, read.first_ms, NOBODY)
        row.owner = self.owner(row, source.last_ms[index])
        self.rest(row)

    def gap(self, source: OpenSegment, index: int, lost: int) -> None:
        """An event for a row that cannot be read, of which so many attempts have no line."""
        source.done[index] = DAMAGED
        source.resumed[index] = (DAMAGED, 0)
        worker, epoch = source.key
        detail = {"worker": worker, "epoch": epoch, "row": index, "count": lost, "reason": "row"}
        self.event("gap", detail)
