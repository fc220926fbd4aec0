"""Putting in force what was loaded: the orders that workers follow, with pauses and whoever is spared something."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from enforcer.attempts.durable import replace_file
from enforcer.devices.registry import Registry
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.hub.loading import Loaded
from enforcer.hub.orders import RENEW_S, OrderBook, Spared
from enforcer.orders import Grant, Orders, Pause, ShownGrant

_NEVER = datetime.max.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)


class Force:
    """The one writer of the orders, and of the configuration beside them."""

    def __init__(self, folders: Folders, registry: Registry) -> None:
        """Go on from the orders that are there. registry: who is where, for those who are spared something."""
        self._folders, self._registry = folders, registry
        self._book = OrderBook(folders.orders)
        self._spared: Spared | None = None
        self._renewed: datetime | None = None

    @property
    def orders(self) -> Orders:
        """What is in force."""
        return self._book.orders

    def put(self, loaded: Loaded, now: datetime) -> None:
        """Put a policy and a configuration in force; the configuration first, which the orders announce.

        Raises Unavailable when that cannot be written.
        """
        with self._writable():
            self._book.drop_ended(now)
            text, path = loaded.text, self._folders.accepted
            changed = not path.exists() or path.read_bytes() != text
            if changed:
                replace_file(path, text)
            grants, shown = self._grants(loaded, now)
            changed = changed or _holders(grants, shown) != _holders(self.orders.grants, self.orders.shown)
            self._book.put_in_force(loaded.compiled.sha256, grants, shown, anew=changed)
            self._renewed = now

    def renew(self, loaded: Loaded, now: datetime) -> None:
        """Renew what is granted before it lapses, and at once when an exempt device has come or gone."""
        late = self._renewed is None or abs(now - self._renewed) >= timedelta(seconds=RENEW_S)
        if not late and not self._registry.moved:
            return
        self._renewed = now
        try:
            self._book.grant(*self._grants(loaded, now))
        except OSError as error:
            _log.error("orders event=not_written error=%s", error.strerror)

    def pause(self, realm: str, until: datetime) -> None:
        """Observe a realm until a moment. Raises Unavailable."""
        with self._writable():
            self._book.pause(realm, until)

    def resume(self, realm: str) -> bool:
        """Enforce a realm again; False when it was not paused. Raises Unavailable."""
        with self._writable():
            return self._book.resume(realm)

    def end_pauses(self, now: datetime) -> tuple[Pause, ...]:
        """Take out the pauses that are over, and return them."""
        try:
            return self._book.drop_ended(now)
        except OSError as error:
            _log.error("orders event=not_written error=%s", error.strerror)
            return ()

    def _grants(self, loaded: Loaded, now: datetime) -> tuple[tuple[Grant, ...], tuple[ShownGrant, ...]]:
        """What the registry makes certain now; of another policy or inventory, for its devices."""
        policy, inventory = loaded.config.policy, self._registry.inventory
        if self._spared is None or self._spared.policy is not policy or self._spared.inventory is not inventory:
            self._spared = Spared(policy, self._registry, [realm.name for realm in loaded.config.realms])
        self._registry.moved = False
        return self._spared.grants(now)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"{self._folders.orders}: cannot be written ({error.strerror})") from error


def _holders(grants: Iterable[Grant], shown: Iterable[ShownGrant]) -> set[Grant | ShownGrant]:
    """Who is spared what, whatever the moment at which the grants lapse."""
    return {replace(each, until=_NEVER) for each in grants} | {replace(each, until=_NEVER) for each in shown}
