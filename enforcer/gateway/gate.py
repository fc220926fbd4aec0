"""The gate's sockets: packets from the kernel's queue to `first`, its verdicts back, and resets to both ends."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

from enforcer.errors import Unavailable
from enforcer.gateway import marks, nfqueue
from enforcer.gateway.first import FirstPackets, Moment
from enforcer.gateway.nfqueue import Queued, Refused

BATCH = 128
RECEIVE_BUFFER = 8 << 20
_LARGEST = 0x11000
_SO_RCVBUFFORCE = 33


class Gate:
    """Reads one queue. moment: reads the clocks, once a batch."""

    def __init__(
        self, queue: int, length: int, first: FirstPackets, order: marks.Order, moment: Callable[[], Moment]
    ) -> None:
        self._queue, self._length, self._first, self._order, self._moment = queue, length, first, order, moment
        self._buffer = memoryview(bytearray(_LARGEST))
        self._reader = nfqueue.Reader()
        self._netlink = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, nfqueue.NETLINK_NETFILTER
        )
        try:
            self._raw = {4: _raw(socket.AF_INET), 6: _raw(socket.AF_INET6)}
        except OSError as error:
            self._netlink.close()
            raise Unavailable(f"raw sockets: {error.strerror}; the gate needs CAP_NET_RAW") from error

    def open(self) -> None:
        """Become the reader of the queue. Raises Unavailable where the kernel or another process is in the way."""
        netlink = self._netlink
        try:
            netlink.bind((0, 0))
            netlink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
            netlink.setsockopt(nfqueue.SOL_NETLINK, nfqueue.NETLINK_NO_ENOBUFS, 1)
            netlink.settimeout(1.0)
            for message in nfqueue.bind(self._queue, self._length):
                netlink.send(message)
                self._assented()
            netlink.setblocking(False)
        except OSError as error:
            why = "another process reads it" if error.errno in {errno.EBUSY, errno.EPERM} else error.strerror
            raise Unavailable(
                f"NFQUEUE {self._queue}: {why}; the gate needs CAP_NET_ADMIN, and each its own"
            ) from error

    def fileno(self) -> int:
        """For a selector."""
        return self._netlink.fileno()

    def readable(self) -> None:
        """Decide on what waits, and send what came of it: one attempt's record before its refusal."""
        moment = self._moment()
        take, read = self._first.take, self._reader.read
        buffer, receive = self._buffer, self._netlink.recv_into
        with suppress(BlockingIOError):
            for _ in range(BATCH):
                for message in read(buffer[: receive(buffer)]):
                    if isinstance(message, Queued):
                        take(message, moment)
        self.answer()

    def answer(self) -> None:
        """Send every verdict and packet that `first` has."""
        first, message = self._first, self._order.message
        for packet in first.packets:
            version = packet[0] >> 4
            target = packet[16:20] if version == 4 else packet[24:40]
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with suppress(OSError):  # no route, no room: the connection is refused all the same
                self._raw[version].sendto(packet, (socket.inet_ntop(family, target), 0))
        first.packets.clear()
        if first.answers:
            verdicts = [nfqueue.accept(self._queue, ident, message(word)) for ident, word in first.answers]
            first.answers.clear()
            self._netlink.send(b"".join(verdicts))

    def close(self) -> None:
        """Let go of the queue: from now on the kernel drops what comes to it."""
        for sock in (self._netlink, *self._raw.values()):
            sock.close()

    def _assented(self) -> None:
        while True:
            for message in self._reader.read(self._buffer[: self._netlink.recv_into(self._buffer)]):
                if isinstance(message, Refused):
                    if message.code:
                        raise OSError(message.code, errno.errorcode.get(message.code, "refused"))
                    return


def _raw(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return sock
