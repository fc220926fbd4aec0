"""What each kind of process gives up before it begins."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from enforcer.config.model import Config
from enforcer.confine import keep_out
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.privileges import Capability, keep_only

_PORTS = frozenset({Capability.NET_BIND_SERVICE})
_NEEDED = {
    "dns": _PORTS,
    "proxy": _PORTS | {Capability.NET_ADMIN},  # mitmproxy's tun mode
    "gate": frozenset({Capability.NET_ADMIN, Capability.NET_RAW}),
    "gateway": frozenset({Capability.NET_ADMIN}),
}

_log = logging.getLogger(__name__)


def confine_worker(config: Config, kind: str) -> None:
    """What enforces gives up the hub's secrets, everything that was recorded, and privileges of other kinds.

    kind: dns, proxy, gate or gateway. Call it before any thread begins.
    """
    folders = Folders(config.data_dir)
    needed = (folders.spool, folders.policy, folders.counters)
    hidden = [*_secrets(config), *folders.evidence, folders.console]
    if kind != "proxy":
        hidden.append(folders.proxy_ca)
    _confine(needed, hidden, _replaced(config), _NEEDED[kind])


def confine_console(config: Config) -> None:
    """The console reads records, but not the hub's secrets; call it before any thread begins."""
    folders = Folders(config.data_dir)
    console = config.console
    files = () if console is None else (console.certificate, console.key, console.users)
    needed = (folders.index, folders.log, folders.console)
    _confine(needed, (*_secrets(config), folders.proxy_ca), filter(None, files), _PORTS)


def confine_sinks(config: Config) -> None:
    """What sends copies reads the log, and changes its cursors, its status and its files; of the rest it sees nothing.

    Call it before any thread begins.
    """
    folders, sinks = Folders(config.data_dir), config.attempts.sinks
    files = [file for sink in sinks for file in (sink.ca, sink.certificate, sink.key, sink.secret_file, sink.path)]
    with suppress(OSError):  # then each sink whose folder is missing says so itself
        folders.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        folders.sinks_lock.touch(mode=0o600)
        for sink in sinks:
            if sink.path is not None:
                sink.path.parent.mkdir(parents=True, exist_ok=True)
    _confine(
        (folders.log, folders.sinks, folders.sink_status),
        (
            *_secrets(config),
            folders.index,
            folders.holds,
            folders.spool,
            folders.policy,
            folders.console,
            folders.proxy_ca,
        ),
        filter(None, files),
        (),
        read_only=(folders.log, folders.run),
        but=(folders.sink_status, folders.sinks_lock),
    )


def _secrets(config: Config) -> tuple[Path, ...]:
    """Those of `data_dir`, and the key that signs the log where it lies elsewhere."""
    own = config.attempts.signing_key
    return (*Folders(config.data_dir).secrets, *(() if own is None else (own,)))


def _confine(
    needed: Iterable[Path],
    hidden: Iterable[Path],
    replaced: Iterable[Path],
    kept: Iterable[Capability],
    *,
    read_only: Iterable[Path] = (),
    but: Iterable[Path] = (),
) -> None:
    for folder in needed:  # what is made in data_dir later is out of reach too
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        keep_only(kept)
        keep_out(hidden, replaced, read_only=read_only, but=but)
    except Unavailable as error:
        _log.warning("process event=not_confined reason=%s", error)


def _replaced(config: Config) -> Iterator[Path]:
    resolver = config.resolver
    files = [resolver.upstream_ca]
    for listener in resolver.listeners:
        files += (listener.certificate, listener.key, listener.client_ca, listener.token_file)
    yield from (file for file in files if file is not None)
