"""What the hub starts and reloads with: a configuration and all that it names, read anew and checked."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from enforcer.blocklists import SIGNATURE
from enforcer.config.describe import show
from enforcer.config.model import Config
from enforcer.devices.inventory import Inventory
from enforcer.errors import EnforcerError, Mistakes
from enforcer.hub.compiler import SELF_TEST, SHRUNK, Compiled, shrunk


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a start and every reload read anew. Each raises Mistakes or Unavailable, and may take seconds."""

    config: Callable[[], Config]
    inventory: Callable[[Config], Inventory]
    policy: Callable[[Config, datetime], Compiled]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with what it names, read and checked. at: when."""

    config: Config
    inventory: Inventory
    compiled: Compiled
    at: datetime

    @property
    def text(self) -> bytes:
        """The configuration as workers read it."""
        return show(self.config).encode()

    @property
    def digest(self) -> str:
        """The configuration's SHA-256, for the record."""
        return sha256(self.text).hexdigest()


class Loader:
    """Reads the inputs. results: how the loads have ended so far, in the words of their metric."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.results: Counter[str] = Counter()

    def load(self, at: datetime, before: Loaded | None = None) -> Loaded:
        """Everything anew, from its files. before: what it would replace. Raises Mistakes or Unavailable."""
        inputs = self._inputs
        try:
            config = inputs.config()
            loaded = Loaded(config, inputs.inventory(config), inputs.policy(config, at), at)
            lost = [] if before is None else [*shrunk(before.compiled, loaded.compiled, config.policy.max_shrink)]
            if lost:
                raise Mistakes(lost)
        except Mistakes as error:
            self.results[_refusal(error)] += 1
            raise
        except EnforcerError:
            self.results["unreadable"] += 1
            raise
        self.results["ok"] += 1
        return loaded


def _refusal(error: Mistakes) -> str:
    """What kept a policy from being loaded, as a label of its metric."""
    if any(each.what.startswith(SIGNATURE) for each in error.mistakes):
        return "bad_signature"
    if any(each.what.startswith(SHRUNK) for each in error.mistakes):
        return "shrunk"
    return "self_test_failed" if all(each.what.startswith(SELF_TEST) for each in error.mistakes) else "invalid"
