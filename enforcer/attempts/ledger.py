"""Attempts into the spool, one row for each distinct (block, client) of a window: for connections and packets.

The resolver's fast path keeps row numbers beside its rendered answers instead; what is written is the same.
"""

from enforcer.attempts.block import Block, encode_block, with_client
from enforcer.attempts.spool import NO_ROW, Spool

ROWS_MAX = 65_536


class Ledger:
    """One worker's way into its spool. full: why the last attempt could not be kept (a label of `attempts_dropped`)."""

    def __init__(self, spool: Spool) -> None:
        self.full: str | None = None
        self._spool = spool
        self._generation = spool.generation
        self._rows: dict[tuple[Block, str | None, str | None], int] = {}

    def record(
        self,
        block: Block,
        client_ip: str | None,
        client_port: int | None,
        now_ms: int,
        shown: str | None = None,
        *,
        times: int = 1,
    ) -> bool:
        """Count attempts before they are refused; False when one could not be kept, and the caller counts that.

        client_ip: None where it must not be written down. client_port: of the first attempt in the row. times: how
        many at once; of those that could not be kept, `full` is about the last.
        """
        spool = self._spool
        if spool.generation != self._generation or len(self._rows) >= ROWS_MAX:
            self._rows.clear()  # the numbers mean nothing in another segment
            self._generation = spool.generation
        key = (block, client_ip, shown)
        row = self._rows.get(key, NO_ROW)
        while times:
            if row != NO_ROW and spool.repeat(row, now_ms, times):
                return True
            row = self._open(with_client(encode_block(block), client_ip, client_port, shown), now_ms)
            if row == NO_ROW:
                return False
            self._rows[key] = row
            times -= 1
        return True

    def _open(self, entry: bytes, now_ms: int) -> int:
        spool = self._spool
        try:
            row = spool.open(entry, now_ms)
        except OSError:  # of the file system: that must not stop the refusal
            row = NO_ROW
        if spool.generation != self._generation:
            self._rows.clear()
            self._generation = spool.generation
        if row == NO_ROW:
            self.full = spool.full or "disk_full"
        return row
