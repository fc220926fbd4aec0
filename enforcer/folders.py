"""Where things are inside `data_dir`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """The paths that more than one process must agree on."""

    data: Path

    @property
    def spool(self) -> Path:
        """One folder a worker."""
        return self.data / "spool"

    @property
    def log(self) -> Path:
        """One file a day."""
        return self.data / "log"

    @property
    def index(self) -> Path:
        """What can be rebuilt from the log."""
        return self.data / "index"

    @property
    def index_file(self) -> Path:
        """The main file of the index in SQLite."""
        return self.index / "attempts.sqlite"

    @property
    def sinks(self) -> Path:
        """How far each sink has got, one file each."""
        return self.data / "sinks"

    @property
    def policy(self) -> Path:
        """One compiled policy a file, named by its SHA-256."""
        return self.data / "policy"

    @property
    def holds(self) -> Path:
        """One folder a legal hold."""
        return self.data / "holds"

    @property
    def signing_key(self) -> Path:
        """The private key of the log's checkpoints; no worker can read its folder."""
        return self.data / "keys" / "checkpoint.pem"

    @property
    def identity(self) -> Path:
        """What networks know devices by; for our own user alone."""
        return self.data / "identity"

    @property
    def console(self) -> Path:
        """Who may sign in."""
        return self.data / "console"

    @property
    def proxy_ca(self) -> Path:
        """The authority of the proxy, where it shows the page inside of TLS and has no other folder for it."""
        return self.data / "proxy-ca"

    @property
    def secrets(self) -> tuple[Path, ...]:
        """What the hub signs and hashes with, and who holds which address: for no other process."""
        return (self.signing_key.parent, self.identity)

    @property
    def evidence(self) -> tuple[Path, ...]:
        """What was recorded: nothing that enforces can read or change it, once it has gone through the spool."""
        return (self.log, self.index, self.holds, self.sinks)

    @property
    def run(self) -> Path:
        """What lives only while processes do, and the workers' counters."""
        return self.data / "run"

    @property
    def counters(self) -> Path:
        """One file a worker."""
        return self.run / "counters"

    @property
    def sink_status(self) -> Path:
        """How each sink is doing, one file each."""
        return self.run / "sinks"

    @property
    def sinks_lock(self) -> Path:
        """Held by the one process that feeds the sinks."""
        return self.run / "sinks.lock"

    @property
    def orders(self) -> Path:
        """What the hub tells the workers."""
        return self.run / "orders"

    @property
    def accepted(self) -> Path:
        """The configuration in force, as the hub has accepted it: what a worker reads, whatever is being edited."""
        return self.run / "enforcer.yaml"

    @property
    def drops(self) -> Path:
        """What the gateway has taken over of the kernel's counts."""
        return self.run / "drops.json"

    @property
    def control(self) -> Path:
        """The hub's socket."""
        return self.run / "control.sock"
