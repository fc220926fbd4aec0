"""Everything that the client of one flow shows, in order: its first octets, and what the proxy looks at behind them."""

from collections.abc import Iterator

from enforcer.decide.flow import Datagrams, Opening, Requests, Seen, Shows
from enforcer.errors import Malformed
from enforcer.policy.verdict import Layer
from enforcer.wire.httpframe import Head, Messages, request_framing

_NONSENSE = Seen(Layer.HTTP, Shows.NONSENSE)


class ShownByStream:
    """One TCP connection: what it begins with; of plain HTTP every request, and what is in a tunnel that one asks for.

    over: nothing that follows is looked at. So it is behind a change to another protocol, as soon as no request comes.
    """

    def __init__(self) -> None:
        self.over = False
        self._opening: Opening | None = Opening()
        self._held = bytearray()
        self._heads = Messages()
        self._streams: Requests | None = None
        self._switching = False

    def add(self, data: bytes) -> Iterator[Seen]:
        """Take what came next, in the order of the stream."""
        if self._opening is not None:
            yield from self._open(self._opening, data)
        elif self._streams is not None:
            yield from self._streams.add(data)
        elif not self.over:
            self._heads.feed(data)
            yield from self._requests()

    def _open(self, opening: Opening, data: bytes) -> Iterator[Seen]:
        self._held += data
        seen = opening.add(data)
        if seen is None:
            return
        held, self._opening = bytes(self._held), None
        self._held.clear()
        if seen.layer is not Layer.HTTP or not seen.readable:
            self.over = True
            yield seen
        elif seen.alpn:
            self._streams = Requests()
            yield from self._streams.add(held)
        else:
            self._heads = Messages()
            self._heads.feed(held)
            yield from self._requests()

    def _requests(self) -> Iterator[Seen]:
        try:
            while (piece := self._heads.take()) is not None:
                if not isinstance(piece, Head):
                    continue
                seen = Opening().add(piece.octets) or _NONSENSE
                if self._switching and seen.layer is not Layer.HTTP:
                    self.over = True
                    return
                self._heads.frame(request_framing(piece))
                self._switching = bool(piece.values(b"upgrade"))
                yield seen
                if piece.start.startswith(b"CONNECT "):
                    self._opening = Opening()
                    rest = self._heads.rest()
                    if rest:
                        yield from self._open(self._opening, rest)
                    return
        except Malformed:
            self.over = True
            if not self._switching:
                yield _NONSENSE


class ShownByDatagrams:
    """The datagrams of one flow: what it begins with, and what each further connection of QUIC begins with."""

    over = False

    def __init__(self) -> None:
        self._opening = Datagrams()
        self._last: Datagrams | None = None

    def add(self, datagram: bytes) -> Iterator[Seen]:
        """Take the next one."""
        if self._last is not None and not self._last.later(datagram):
            return
        seen = self._opening.add(datagram)
        if seen is not None:
            self._last, self._opening = self._opening, Datagrams()
            yield seen
