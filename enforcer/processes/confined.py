"""What each kind of process gives up before it begins."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from enforcer.config.model import Config
from enforcer.confine import keep_out
from enforcer.errors import Unavailable
from enforcer.folders import Folders

_log = logging.getLogger(__name__)


def confine_worker(config: Config) -> None:
    """What enforces gives up the hub's secrets and everything that was recorded; call it before any thread begins."""
    folders = Folders(config.data_dir)
    _confine(folders, (*_secrets(config), *folders.evidence), _replaced(config))


def confine_console(config: Config) -> None:
    """The console reads records, but not the hub's secrets; call it before any thread begins."""
    folders = Folders(config.data_dir)
    console = config.console
    files = () if console is None else (console.certificate, console.key, console.users)
    _confine(folders, _secrets(config), filter(None, files))


def _secrets(config: Config) -> tuple[Path, ...]:
    """Those of `data_dir`, and the key that signs the log where it lies elsewhere."""
    own = config.attempts.signing_key
    return (*Folders(config.data_dir).secrets, *(() if own is None else (own,)))


def _confine(folders: Folders, hidden: Iterable[Path], replaced: Iterable[Path]) -> None:
    for needed in (
        folders.spool,
        folders.policy,
        folders.counters,
        folders.console,
    ):  # what is made later in data_dir is hidden too
        needed.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        keep_out(hidden, replaced)
    except Unavailable as error:
        _log.warning("process event=not_confined reason=%s", error)


def _replaced(config: Config) -> Iterator[Path]:
    resolver = config.resolver
    files = [resolver.upstream_ca]
    for listener in resolver.listeners:
        files += (listener.certificate, listener.key, listener.client_ca, listener.token_file)
    yield from (file for file in files if file is not None)
