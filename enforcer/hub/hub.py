"""The hub as a process: the recorder's rhythm, the upkeep, and what the control socket can ask for."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta

from prometheus_client import Metric

from enforcer import __version__
from enforcer.attempts.attempt import Closes, Event
from enforcer.attempts.index.open import open_reader, open_writer
from enforcer.attempts.keys import open_notary, publish
from enforcer.attempts.log import DayLog
from enforcer.config.describe import needs_restart
from enforcer.config.model import upstream_labels
from enforcer.config.values import Endpoint
from enforcer.control import Answer, Operation, Request, control_socket, number_of, text_of
from enforcer.counters import DROPS, word
from enforcer.devices.registry import Registry
from enforcer.errors import EnforcerError, Malformed, Unavailable
from enforcer.folders import Folders
from enforcer.hub.certificates import all_expiries
from enforcer.hub.figures import Process, Words, by_kind, policy_facts, split, spool_figures, words_of, worker_problems
from enforcer.hub.force import Force
from enforcer.hub.indexer import Indexer
from enforcer.hub.loading import Inputs, Loader
from enforcer.hub.lock import hub_lock
from enforcer.hub.metrics import Snapshot, alive, metrics_app
from enforcer.hub.recorder import BATCH, Recorder
from enforcer.hub.revision import revision
from enforcer.notify import notify
from enforcer.pageserver import Only, page_server
from enforcer.part import Means, Part
from enforcer.sockets import bound

POLL_S = 0.1
FOLLOW_S = 5.0  # within which a worker follows new orders, or is taken to be stuck
PAUSE_MINUTES_MAX = 24 * 60
GRANT_POLL_S = 0.25  # a grant reaches workers within a second: this, and how often they look

_log = logging.getLogger(__name__)


class Hub:
    """Everything the hub holds. Time comes from `clock`, an aware UTC datetime."""

    def __init__(
        self, inputs: Inputs, clock: Callable[[], datetime], parts: Callable[[Means], Sequence[Part]] = lambda _: ()
    ) -> None:
        """Read the configuration and what it names. parts: made once the log is open.

        Raises Mistakes or Unavailable.
        """
        self._loader, self._clock, self._make_parts = Loader(inputs), clock, parts
        self._parts: tuple[Part, ...] = ()
        self._started = clock()
        self._loaded = self._loader.load(self._started)
        self.config = self._loaded.config
        self._folders = Folders(self.config.data_dir)
        self._workers: dict[str, Process] = {}
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._refused: str | None = None
        self._disk = ThreadPoolExecutor(1, "disk")  # a disk may take seconds, and devices' sessions come meanwhile

    async def run(self, ready: Callable[[], None]) -> None:
        """Record until SIGTERM or SIGINT; SIGHUP reloads. ready: called when the hub answers.

        Raises Unavailable when another hub uses the data folder, or an address cannot be had.
        """
        folders = self._folders
        for folder in (folders.data, folders.spool, folders.policy, folders.run, folders.counters):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with hub_lock(folders.run / "hub.lock"), _listening(self.config.metrics.listen) as sock:
            self._open()
            operations: dict[str, Operation] = {
                "ping": self._op_ping,
                "status": self._op_status,
                "reload": self._op_reload,
                "pause": self._op_pause,
                "resume": self._op_resume,
                "worker": self._op_worker,
            }
            for part in self._parts:
                operations.update(part.operations)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stopping.set)
            try:
                async with control_socket(folders.control, operations), asyncio.TaskGroup() as tasks:
                    loop.add_signal_handler(signal.SIGHUP, lambda: tasks.create_task(self._hang_up()))
                    pages = metrics_app(self.snapshot, self.health, self._part_metrics)
                    server = page_server(Only(pages, self.config.metrics.networks))
                    page = tasks.create_task(server.serve(sockets=[sock]))
                    work = [self._record, self._indexer.run, self._upkeep, self._grant]
                    work += [part.run for part in self._parts]
                    upkeep = [tasks.create_task(each()) for each in work]
                    ready()
                    await self._stopping.wait()
                    for task in upkeep:
                        task.cancel()
                    server.should_exit = True
                    await page
            finally:
                self._close()

    def snapshot(self) -> Snapshot:
        """All that the metrics page says, now."""
        now = self._clock()
        now_ms = _ms(now)
        live = self._recorder.live()
        live.update(self._indexer.before)
        attempts, identified = split(live)
        restarts, up = by_kind(self._workers.values())
        named = self._loaded.config.policy.notice.monitoring_notice_acknowledged
        return Snapshot(
            version=__version__,
            revision=revision(),
            now_ms=now_ms,
            policy=policy_facts(self._loaded, self._force.orders.pauses, now),
            loads=self._loader.results,
            workers=self._words(),
            upstreams=upstream_labels(self.config),
            restarts=restarts,
            up=up,
            spool=spool_figures(self._folders.spool, self._recorder.oldest(), now_ms),
            spool_max=self._loaded.config.attempts.spool_max,
            attempts=attempts,
            newest={key: (attempt.id, attempt.time_ms) for key, attempt in self._recorder.last.items()},
            identified=identified,
            devices=self._registry.states or {"inventory": len(self._registry.inventory.devices)},
            devices_attempting=self._indexer.devices.attempting,
            device_attempts=self._indexer.devices.top if named else None,
            log_sequence=self._log.seq,
            log_writable=self._recorder.trouble is None,
            index_lag=self._log.seq - self._indexer.seq,
            certificates=all_expiries(self.config),
        )

    def health(self) -> str | None:
        """Why the hub is not recording; None while it is."""
        return self._recorder.trouble

    def _open(self) -> None:
        now, config, folders = self._clock(), self.config, self._folders
        notary = open_notary(config.node, config.attempts.signing_key or folders.signing_key)
        self._log = DayLog(folders.log, notary, self._disk)
        publish(notary, folders.log)
        self._registry = Registry(self._loaded.inventory)
        self._recorder = Recorder(
            spool=folders.spool,
            log=self._log,
            marks=folders.run / "recorder.json",
            node=config.node,
            owners=self._registry,
            aggregate_s=config.attempts.aggregate_s,
            fsync_s=config.attempts.fsync_s,
            ban=config.policy.ban,
        )
        where, path = config.attempts.index, folders.index_file
        self._indexer = Indexer(
            open_writer(where, path, folders.log),
            lambda: open_reader(where, path),
            self._log,
            lambda: _ms(self._clock()),
            config.metrics.devices,
        )
        self._force = Force(folders, self._registry)
        if self._log.cut:
            self._recorder.record("recovered", {"octets": self._log.cut}, now)
        before = self._force.orders.policy
        self._force.put(self._loaded, now)
        compiled = self._loaded.compiled
        detail = {
            "version": __version__,
            "pid": os.getpid(),
            "ruleset": compiled.ruleset,
            "old": before[:12],
            "key": notary.name,
            "public_key": notary.public_text,
            "unsigned": self._log.unsigned,
        }
        self._recorder.record("start", detail, now)
        self._recorder.record("configuration", {"sha256": self._loaded.digest}, now)
        means = Means(
            config, folders, self._clock, self._plan_event, self._log, self._indexer.drop_before, self._registry
        )
        self._parts = tuple(self._make_parts(means))
        _log.info("hub event=started ruleset=%s log_sequence=%d", compiled.ruleset, self._log.seq)

    def _plan_event(self, event: str, detail: Mapping[str, object]) -> None:
        self._recorder.record(event, detail, self._clock())

    def _part_metrics(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part.metrics()

    def _close(self) -> None:
        for part in reversed(self._parts):
            part.close()
        now = self._clock()
        self._recorder.record("stop", {"version": __version__, "pid": os.getpid()}, now)
        self._recorder.poll(_ms(now), now)
        self._recorder.close(_ms(now), now)
        try:
            self._log.checkpoint(now, Closes.STOP)
            self._log.sync()
        except OSError as error:
            _log.error("log event=not_signed error=%s", error.strerror)
        self._indexer.close(self._log.synced)
        try:
            self._log.close()
        except OSError as error:
            _log.error("log event=close_failed error=%s", error.strerror)
        self._disk.shutdown()
        _log.info("hub event=stopped log_sequence=%d", self._log.seq)

    async def _record(self) -> None:
        while True:
            now = self._clock()
            written = self._recorder.poll(_ms(now), now)
            await asyncio.sleep(0 if written >= BATCH else POLL_S)

    async def _upkeep(self) -> None:
        while True:
            now = self._clock()
            for worker, words in self._words().items():
                self._recorder.lost(worker, {reason: words[word("attempts_dropped", reason)] for reason in DROPS}, now)
            for pause in self._force.end_pauses(now):
                self._recorder.record("resume", {"realm": pause.realm, "who": "end of the pause"}, now)
            notify("WATCHDOG=1")
            await asyncio.sleep(1)

    async def _followed(self) -> bool:
        """Wait until every worker that lives follows the orders; False when one takes too long."""
        for _ in range(round(FOLLOW_S / POLL_S)):
            now_ms = _ms(self._clock())
            generation = self._force.orders.generation
            counters = self._words().values()
            if all(words[word("worker_generation")] == generation for words in counters if alive(words, now_ms)):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _grant(self) -> None:
        while True:
            self._force.renew(self._loaded, self._clock())
            await asyncio.sleep(GRANT_POLL_S)

    async def _op_ping(self, _: Request) -> Answer:
        return {"version": __version__, "pid": os.getpid()}

    async def _op_status(self, _: Request) -> Answer:
        now = self._clock()
        now_ms = _ms(now)
        return {
            "version": __version__,
            "node": self.config.node,
            "uptime_s": round((now - self._started).total_seconds()),
            "ruleset": self._loaded.compiled.ruleset,
            "generation": self._force.orders.generation,
            "loaded": self._loaded.at.isoformat(),
            "workers": {
                name: {
                    "generation": words[word("worker_generation")],
                    "heartbeat_ms": words[word("worker_heartbeat_milliseconds")],
                    "alive": alive(words, now_ms),
                }
                for name, words in self._words().items()
            },
            "processes": {
                name: {"kind": worker.kind, "pid": worker.pid, "restarts": worker.restarts, "up": worker.up}
                for name, worker in self._workers.items()
            },
            "spool": {
                name: {"bytes": size, "oldest_s": round(age)}
                for name, (size, age) in spool_figures(self._folders.spool, self._recorder.oldest(), now_ms).items()
            },
            "log_sequence": self._log.seq,
            "index_lag": self._log.seq - self._indexer.seq,
            "pauses": [{"realm": p.realm, "until": p.until.isoformat()} for p in self._force.orders.pauses],
            "problems": list(self._problems(now_ms)),
        }

    def _problems(self, now_ms: int) -> Iterator[str]:
        for trouble in (self._recorder.trouble, self._indexer.trouble):
            if trouble is not None:
                yield trouble
        if self._refused is not None:
            yield f"the last reload was refused: {self._refused}"
        yield from worker_problems(self._words(), self._workers, self._force.orders.generation, now_ms)
        for part in self._parts:
            yield from part.problems()

    async def _op_reload(self, request: Request) -> Answer:
        """A policy with mistakes is refused, and what ran before goes on."""
        who = str(request.get("who") or "control socket")[:80]
        async with self._reloading:
            try:
                loaded = await asyncio.to_thread(self._loader.load, self._clock(), self._loaded)
            except EnforcerError as error:
                self._refused = str(error)
                _log.warning("hub event=reload_refused")
                raise
            self._refused = None
            old, self._loaded = self._loaded, loaded
            now = self._clock()
            self._registry.use(loaded.inventory)
            self._force.put(loaded, now)
            new = loaded.compiled.ruleset
            self._recorder.record("reload", {"old": old.compiled.ruleset, "new": new, "who": who}, now)
            if loaded.digest != old.digest:
                self._recorder.record("configuration", {"sha256": loaded.digest}, now)
            for part in self._parts:
                part.follow(loaded.config)
            followed = await self._followed()
            _log.info("hub event=reloaded ruleset=%s followed=%s", new, followed)
            restart = needs_restart(self.config, loaded.config)
            return {"old": old.compiled.ruleset, "ruleset": new, "followed": followed, "restart": restart}

    async def _hang_up(self) -> None:
        """SIGHUP: nobody waits for an answer, so a refusal is in the status alone."""
        with suppress(EnforcerError):
            await self._op_reload({"who": "SIGHUP"})

    async def _op_pause(self, request: Request) -> Answer:
        realm, reason, who = (text_of(request, key) for key in ("realm", "reason", "who"))
        minutes = number_of(request, "minutes", 1, PAUSE_MINUTES_MAX)
        names = [known.name for known in self._loaded.config.realms]
        if realm not in names:
            raise Malformed(f'"{realm}" is no realm; there are {", ".join(names)}')
        now = self._clock()
        until = now + timedelta(minutes=minutes)
        ends = until.isoformat(timespec="seconds")
        detail = {"realm": realm, "minutes": minutes, "until": ends, "reason": reason[:200], "who": who[:80]}
        try:  # first, so that no kill in between leaves a pause that nobody has to answer for
            self._log.record(Event("pause", _ms(now), self.config.node, detail), now)
        except OSError as error:
            raise Unavailable(f"the pause cannot be recorded, so it is refused: {error.strerror}") from error
        self._force.pause(realm, until)
        return {"until": ends}

    async def _op_resume(self, request: Request) -> Answer:
        realm, who = text_of(request, "realm"), text_of(request, "who")
        if not self._force.resume(realm):
            raise Malformed(f'"{realm}" is not paused')
        self._recorder.record("resume", {"realm": realm, "who": who[:80]}, self._clock())
        return {}

    async def _op_worker(self, request: Request) -> Answer:
        """What the supervisor tells whenever a process starts or ends."""
        self._workers[text_of(request, "name")] = Process(
            kind=text_of(request, "kind"),
            pid=None if request.get("pid") is None else number_of(request, "pid", 0, 1 << 31),
            restarts=number_of(request, "restarts", 0, 1 << 31),
            up=request.get("up") is True,
        )
        return {}

    def _words(self) -> Words:
        return words_of(self._folders.counters)


def _listening(endpoint: Endpoint) -> socket.socket:
    """A TCP socket that listens: whoever is told that we are ready may ask at once. Raises Unavailable."""
    sock = bound(endpoint, socket.SOCK_STREAM, key="metrics.listen")
    sock.listen()
    return sock


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
