"""The UDP path: batches of datagrams, answered from what was rendered before.

A query of the same octets after its ID, by the same class of client, costs a look-up and a copy, and once a second new
TTLs. Everything else is `handler`'s. What a batch blocked is in the spool, and all of it in the counters, before the
batch's answers leave.
"""

import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from enforcer.attempts.spool import R_FIRST, R_LAST, R_SECOND, Spool
from enforcer.counters import Transport
from enforcer.orders import Orders
from enforcer.resolver.clients import Directory, Group
from enforcer.resolver.conduct import Clock
from enforcer.resolver.handler import Handler, Silence, Waiter
from enforcer.resolver.memory import Rendered
from enforcer.resolver.mmsg import BATCH, PLACE, Way, batch_for, source_of, whom
from enforcer.resolver.pace import Pace
from enforcer.resolver.tally import Tally, bucket

BATCHES_A_TURN = 16  # then other sockets and timers get their turn
CLIENTS_MAX = 200_000
_DROPPED = bucket(None, "dropped")


class UdpPath:
    """One listening UDP socket of one worker."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        directory: Directory,
        handler: Handler,
        spool: Spool,
        words: memoryview,
        clock: Clock,
        pace: Pace,
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """soon: calls something when the present turn of the event loop is over."""
        self.sock = sock
        self._soon = soon
        self._late: list[tuple[int, float]] = []  # buckets and seconds of the answers that were posted
        host = sock.getsockname()[0]
        self._batch = batch_for(sock, any_address=host in ("0.0.0.0", "::"))  # noqa: S104 (asks, does not bind)
        self._directory = directory
        self._handler = handler
        self._spool = spool
        self._clock = clock
        self._tally = Tally(words, "udp", "6" if sock.family == socket.AF_INET6 else "4")
        self._groups: dict[int | bytes, Group] = {}
        self._pace = pace
        self._second = 0
        self._places = tuple(range(2, 2 + BATCH * PLACE, PLACE))

    def follow(self, orders: Orders) -> None:
        """Take new orders: every client is looked up again."""
        self._directory.follow(orders)
        self._groups.clear()

    def limit(self, pace: Pace) -> None:
        """Hold clients to this from now on: every one is looked up again."""
        self._pace = pace
        self._groups.clear()

    def readable(self) -> None:
        """Answer what has arrived."""
        for _ in range(BATCHES_A_TURN):
            lengths, clients = self._batch.receive()
            if not lengths:
                return
            self._answer(lengths, clients)

    def _answer(self, lengths: Sequence[int], clients: Sequence[int | bytes]) -> None:  # noqa: C901, PLR0912, PLR0915 (calls cost)
        steady = self._clock.steady
        started = steady()
        now_ms = self._clock.wall_ms()
        if now_ms // 1000 != self._second:
            self._turn(now_ms // 1000)
        batch, spool, groups = self._batch, self._spool, self._groups
        buffer, sizes, window_ms, rows = batch.buffer, batch.sizes, spool.window_ms, spool.rows
        buckets: list[int] = []
        silent: list[int] = []
        size_at = 1
        dues, slack, interval = self._pace.due, self._pace.slack, self._pace.interval
        last: int | bytes | None = None
        answers: dict[bytes, Rendered] = {}
        for at, length, client in zip(self._places, lengths, clients, strict=False):
            if client != last:
                group = groups.get(client)
                if group is None:
                    group = self._meet(client, started)
                    dues = self._pace.due
                answers, last = group.memory.by_octets, client
            due = dues.get(client)
            if due is not None:
                if due - started > slack:
                    buckets.append(_DROPPED)
                    silent.append(size_at >> 1)
                    size_at += 2
                    continue
                dues[client] = interval + (due if due > started else started)  # noqa: FURB136 (max is a call)
            known = answers.get(buffer[at : at + length - 2])
            if known is not None and known[0] <= started:
                known = self._handler.found(answers, buffer[at : at + length - 2], started)
            if known is None:
                index = size_at >> 1
                missed = self._miss(index, length, client)
                rows = spool.rows
                if isinstance(missed, Silence):
                    if missed is Silence.NEVER:
                        buckets.append(_DROPPED)
                    silent.append(index)
                    size_at += 2
                    continue
                known = missed
            _, tail, size, number, attempts, _ = known
            if attempts is not None:
                row = attempts.by_client.get(client)
                if row is not None and now_ms - rows[row + R_FIRST] < window_ms:
                    count = rows[row] + 1
                    rows[row + R_LAST] = now_ms
                    if count == 2:
                        rows[row + R_SECOND] = now_ms
                    rows[row] = count
                else:
                    host, port = batch.source(size_at >> 1)
                    self._handler.record(attempts, client, host, port)
                    rows = spool.rows
            buffer[at : at + size - 2] = tail
            sizes[size_at] = size
            size_at += 2
            buckets.append(number)
        self._tally.add(buckets, steady() - started)
        first = 0
        for index in silent:
            batch.send(first, index)
            first = index + 1
        batch.send(first, len(lengths))

    def _miss(self, index: int, length: int, client: int | bytes) -> Rendered | Silence:
        """Decide on what was not rendered before."""
        at = index * PLACE
        wire = self._batch.buffer[at : at + length]
        waiter = partial(self._waiter, index, client)
        group, shown = self._groups[client], self._handler.told(wire, client)
        if shown is not None:  # what the device is spared is not what its forwarder is
            group = self._directory.group(whom(client), _moment(self._second), shown=shown)
        answer = self._handler.answer(wire, group, Transport.UDP, waiter, client=client, shown=shown)
        return answer if isinstance(answer, Silence) else answer[0]

    def _waiter(self, index: int, client: int | bytes) -> Waiter:
        return partial(self._give, self._batch.way(index), client, self._clock.steady())

    def _give(self, way: Way, client: int | bytes, started: float, rendered: Rendered, wire: bytes) -> None:
        """Answer a query that had to wait, together with the others that this turn of the loop answers."""
        if rendered[4] is not None:
            self._handler.record(rendered[4], client, *source_of(way))
        late = self._late
        if not late:
            self._soon(self._flush)
        late.append((rendered[3], self._clock.steady() - started))
        if self._batch.post(way, wire):
            self._flush()

    def _flush(self) -> None:
        late, self._late = self._late, []
        self._tally.add_each(late)
        if self.sock.fileno() >= 0:
            self._batch.flush()

    def _meet(self, client: int | bytes, now: float) -> Group:
        """Look a client's group up, until the orders change or a second ends something."""
        if len(self._groups) >= CLIENTS_MAX:
            self._groups.clear()
        address = whom(client)
        group = self._directory.group(address, _moment(self._second))
        self._pace.meet(client, address, now)
        self._groups[client] = group
        return group

    def _turn(self, second: int) -> None:
        """A new second: pauses and exemptions may have ended."""
        if self._directory.changes(_moment(self._second), _moment(second)):
            self._groups.clear()
        self._second = second


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
