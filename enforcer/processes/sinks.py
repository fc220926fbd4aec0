"""The process that feeds the sinks: a thread for each, so that none waits for another, and the recorder for none."""

import asyncio
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from uuid import NAMESPACE_DNS, uuid5

from enforcer.attempts.sinks import Sink as Receiver
from enforcer.attempts.sinks.file import FileSink
from enforcer.attempts.sinks.follow import Course, Follow
from enforcer.attempts.sinks.gelf import GelfSink
from enforcer.attempts.sinks.http import Collector, Form, HttpSink
from enforcer.attempts.sinks.status import Status, write_status
from enforcer.attempts.sinks.stream import Datagrams, Remote, Stream, Trust
from enforcer.attempts.sinks.syslog import SyslogSink
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.config.sinks import Begin, Sink, SinkType, SinkUrl
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.notify import notify
from enforcer.processes.clock import CLOCK, wall_ms

EACH_S = 1.0  # how often progress is told, and the configuration looked at
STOP_S = 5.0  # sinks in mid-batch may take so long to stop, all together

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """A sink with its thread."""

    sink: Sink
    follow: Follow
    thread: Thread
    stop: Event = field(default_factory=Event)


class Sinks:
    """All sinks of a configuration; a reload starts, stops and replaces those that have changed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folders = Folders(config.data_dir)
        self._running: dict[str, _Running] = {}
        self._seen = (0, 0)  # the accepted configuration's inode and time

    async def run(self, ready: Callable[[], None]) -> None:
        """Feed them until SIGTERM or SIGINT. Raises Unavailable when another process does it already."""
        folders = self._folders
        for folder in (folders.run, folders.sinks, folders.sink_status):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stop = asyncio.Event()
        with _alone(folders.sinks_lock):
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            self._apply(self._config)
            ready()
            try:
                while not stop.is_set():
                    self._follow_config()
                    self._tell()
                    notify("WATCHDOG=1")
                    await _wait(stop, EACH_S)
            finally:
                await asyncio.to_thread(self._end, [*self._running])

    def _apply(self, config: Config) -> None:
        """Have the sinks of a configuration run, and no other."""
        wanted = {sink.label: sink for sink in config.attempts.sinks}
        self._end([name for name, running in self._running.items() if wanted.get(name) != running.sink])
        for name, sink in wanted.items():
            if name not in self._running:
                self._running[name] = self._start(sink)
        self._config = config

    def _start(self, sink: Sink) -> _Running:
        course = Course(sink.label, sink.form, sink.batch, sink.begin is Begin.NOW, sink.retry_max_s)
        folders, node = self._folders, self._config.node
        follow = Follow(
            course,
            lambda: receiver_of(sink, node),
            log=folders.log,
            marks=folders.sinks,
            steady=CLOCK.steady,
        )
        stop = Event()
        # A daemon: a receiver that hangs must not keep the process from ending.
        thread = Thread(target=follow.run, args=(stop,), name=f"sink-{sink.label}", daemon=True)
        thread.start()
        _log.info("sink event=started name=%s type=%s after=%d", sink.label, sink.type, follow.progress.seq)
        return _Running(sink, follow, thread, stop)

    def _end(self, names: list[str]) -> None:
        ending = [self._running.pop(name) for name in names]
        for running in ending:
            running.stop.set()
        until = CLOCK.steady() + STOP_S
        for running in ending:
            running.thread.join(max(until - CLOCK.steady(), 0))
            _log.info("sink event=stopped name=%s after=%d", running.sink.label, running.follow.progress.seq)

    def _follow_config(self) -> None:
        """Look whether the hub has accepted another configuration."""
        path = self._folders.accepted
        try:
            found = path.stat()
        except OSError:
            return
        seen = (found.st_ino, found.st_mtime_ns)
        if seen == self._seen:
            return
        try:
            self._apply(load(path, files=False))
            self._seen = seen
        except EnforcerError as error:
            _log.error("sinks event=configuration_unreadable error=%s", error)

    def _tell(self) -> None:
        for name, running in self._running.items():
            path = self._folders.sink_status / f"{name}.json"
            try:
                write_status(path, Status(wall_ms(), running.follow.progress))
            except OSError as error:
                _log.error("sinks event=status_not_written error=%s", error.strerror)


def unfit(config: Config) -> Iterator[str]:
    """Of each sink that could not be made now, why: a library, a certificate or a secret is not there."""
    for number, sink in enumerate(config.attempts.sinks):
        try:
            receiver_of(sink, config.node)
            _trust(sink).context()
            if sink.secret_file is not None:
                sink.secret_file.read_bytes()
        except (Unavailable, OSError) as error:
            what = f"{sink.secret_file}: {error.strerror}" if isinstance(error, OSError) else error
            yield f"attempts.sinks[{number}] ({sink.label}): {what}; until then it gets nothing, and the others do"


def receiver_of(sink: Sink, node: str) -> Receiver:
    """What a sink of the configuration sends to. node: this machine's name, for Splunk's channel.

    Raises Unavailable where its library is not installed.
    """
    match sink.type:
        case SinkType.SYSLOG:
            return SyslogSink(_carrier(sink), sink.enterprise)
        case SinkType.GELF:
            return GelfSink(_carrier(sink))
        case SinkType.FILE:
            return FileSink(sink.path or Path(os.devnull), max_bytes=sink.max_bytes, keep=sink.keep)
        case SinkType.KAFKA:
            try:
                from enforcer.attempts.sinks.kafka import KafkaSink  # noqa: PLC0415 (an extra)
            except ImportError as error:
                raise Unavailable('confluent-kafka is not installed; install "enforcer[kafka]"') from error
            return KafkaSink(sink.topic, kafka_settings(sink), sink.secret_file)
        case SinkType.HTTP | SinkType.SPLUNK | SinkType.ELASTIC:
            collector = Collector(
                form=Form(sink.type.value),
                url=str(sink.url),
                trust=_trust(sink),
                secret_file=sink.secret_file,
                channel=uuid5(NAMESPACE_DNS, f"{node}/{sink.label}") if sink.type is SinkType.SPLUNK else None,
                acknowledge=sink.acknowledge,
                target=sink.target,
            )
            return HttpSink(collector, time.sleep)


def kafka_settings(sink: Sink) -> dict[str, str]:
    """A sink's settings by librdkafka's names; what `options` says counts."""
    settings = {"bootstrap.servers": ",".join(sink.brokers)}
    secure = sink.ca is not None or sink.certificate is not None or sink.username is not None
    if secure:
        settings["security.protocol"] = "SSL" if sink.username is None else "SASL_SSL"
    files = {
        "ssl.ca.location": sink.ca,
        "ssl.certificate.location": sink.certificate,
        "ssl.key.location": sink.key,
    }
    settings |= {name: str(path) for name, path in files.items() if path is not None}
    if sink.username is not None:
        settings |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": sink.username}
    return {**settings, **sink.options}


def _carrier(sink: Sink) -> Stream | Datagrams:
    url = sink.url or SinkUrl("udp", "127.0.0.1", 514)
    if url.scheme == "udp":
        return Datagrams(Remote(url.host, url.port))
    trust = _trust(sink) if url.scheme == "tls" else None
    return Stream(Remote(url.host, url.port, trust), time.sleep)


def _trust(sink: Sink) -> Trust:
    return Trust(sink.ca, sink.certificate, sink.key)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two processes would send everything twice. Raises Unavailable."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"{path}: another process feeds the sinks of this data_dir; stop it first") from error
        yield
    finally:
        os.close(fd)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
