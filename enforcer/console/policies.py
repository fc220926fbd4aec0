"""Compiled policies by their number in records: what was in force when an attempt was blocked, and what is now."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from enforcer.blocklists import open_policy
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.orders import Orders, decode_orders
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Rule

_KEPT = 4


class Policies:
    """The files of `data_dir/policy`, the few that were asked for last kept open."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._open: OrderedDict[str, Policy] = OrderedDict()
        self._lock = Lock()

    def orders(self) -> Orders:
        """What the hub tells the workers now. Raises Unavailable before it has said anything, Corrupt for damage."""
        try:
            return decode_orders(self._folders.orders.read_bytes())
        except OSError as error:
            raise Unavailable(f"{self._folders.orders}: there are no orders yet; start the hub") from error

    def in_force(self) -> Policy:
        """The policy of now. Raises Unavailable and Corrupt."""
        return self._policy(self._folders.policy / self.orders().policy)

    def numbered(self, ruleset: str) -> Policy | None:
        """The policy of a record; None when its file is not kept any more, or cannot be read."""
        if not ruleset or not all(digit in "0123456789abcdef" for digit in ruleset):
            return None
        found = sorted(self._folders.policy.glob(f"{ruleset}*"))
        try:
            return self._policy(found[0]) if found else None
        except EnforcerError:
            return None

    def _policy(self, path: Path) -> Policy:
        with self._lock:
            policy = self._open.pop(path.name, None) or open_policy(path, verify=False)
            self._open[path.name] = policy
            if len(self._open) > _KEPT:
                self._open.popitem(last=False)
            return policy


def rule_of(policy: Policy, rule: str) -> Rule | None:
    """An own rule by its id; None for one of a third-party list, of which only the names are kept."""
    name = rule.partition("/")[0]
    return next((own for each in policy.lists if each.name == name for own in each.rules if own.id == rule), None)
