"""Where a worker writes its attempts down: a row of the spool for each that is distinct, found again by what it is."""

from collections.abc import Callable

from enforcer.attempts.block import Block, Response, encode_block, with_client
from enforcer.attempts.spool import NO_ROW, Spool
from enforcer.counters import Transport, word
from enforcer.decide.dns import Reply
from enforcer.orders import PROBE_REALM
from enforcer.policy.rules import Answer
from enforcer.policy.verdict import Layer
from enforcer.resolver.memory import Rows
from enforcer.wire.dns import Query
from enforcer.wire.dnscodes import rcode_name, type_name

_RESPONSES = {
    Answer.NXDOMAIN: Response.NXDOMAIN,
    Answer.NODATA: Response.NODATA,
    Answer.NULL: Response.NULL,
    Answer.SINKHOLE: Response.SINKHOLE,
}


class Book:
    """The attempts of one worker. name_clients: the users have been told, so a client's address is written down."""

    def __init__(self, spool: Spool, words: memoryview, wall_ms: Callable[[], int], *, name_clients: bool) -> None:
        self.name_clients = name_clients
        self._spool = spool
        self._words = words
        self._wall_ms = wall_ms
        self._ruleset = ""
        self._generation = spool.generation
        # Those that have a row in the spool's segment, by what they share and what their clients have shown.
        self._rows: dict[tuple[bytes, str | None], Rows] = {}

    def follow(self, ruleset: str, *, name_clients: bool) -> None:
        """Another policy is in force."""
        self._ruleset, self.name_clients = ruleset, name_clients
        self._spool.seal()
        self._forget()

    def tick(self, now_ms: int) -> None:
        """Let the spool age."""
        self._spool.tick(now_ms)
        self._forget()

    def rows(self, reply: Reply, query: Query, realm: str, transport: Transport) -> Rows | None:
        """Where the attempts of an answer are counted; None when there is nothing to record, or our own probe asks."""
        if reply.verdict is None or realm == PROBE_REALM:
            return None
        block = Block.of(
            reply.verdict,
            ruleset=self._ruleset,
            layer=Layer.DNS,
            name=query.qname,
            qtype=type_name(query.qtype),
            via=reply.via,
            response=_RESPONSES[reply.answer],
            rcode=rcode_name(reply.wire[3] & 0xF if reply.wire else 0),
            ede=reply.ede,
            transport=transport.word,
            realm=realm,
        )
        if block is None:
            return None
        encoded = encode_block(block)
        return self._rows.get((encoded, None)) or Rows(encoded)

    def shown(self, rows: Rows, shown: str) -> Rows:
        """Where the same attempts are counted of clients that have shown this of themselves."""
        return self._rows.get((rows.encoded, shown)) or Rows(rows.encoded, shown)

    def record(self, rows: Rows, client: int | bytes, address: str, port: int) -> None:
        """Count one attempt of a client in the spool, before its answer leaves."""
        now_ms = self._wall_ms()
        if not self.name_clients:
            client = b""
        spool = self._spool
        key = rows.encoded, rows.shown
        rows = self._rows.get(key, rows)
        row = rows.by_client.get(client, NO_ROW)
        if row != NO_ROW and spool.repeat(row, now_ms):
            return
        entry = with_client(rows.encoded, address if self.name_clients else None, port, rows.shown)
        try:
            row = spool.open(entry, now_ms)
        except OSError:  # of the file system: that must not stop the answers
            row = NO_ROW
        self._forget()
        if row == NO_ROW:
            self._words[word("attempts_dropped", spool.full or "disk_full")] += 1
            return
        self._rows.setdefault(key, rows).by_client[client] = row

    def _forget(self) -> None:
        """When the spool has begun another segment, the rows' numbers mean nothing any more."""
        if self._spool.generation == self._generation:
            return
        self._generation = self._spool.generation
        for rows in self._rows.values():
            rows.by_client.clear()
        self._rows.clear()
