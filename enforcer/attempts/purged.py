"""What stays of a day that was purged: its last checkpoint, and the hub's signed statement that it was purged.

The two lines of `<day>.purged` take the day's place in the log: by them the chain goes on, lines that were held back
can still be proven to have been in it, and nobody without the key can pass a deletion off as retention.
"""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from enforcer.attempts.attempt import Checkpoint, Closes, moment, parse_line
from enforcer.attempts.chain import link, unseal
from enforcer.attempts.checkpoint import Notary, PublicKeys, is_signed
from enforcer.errors import Corrupt

_NAME = re.compile(r"\d{4}-\d\d-\d\d\.purged")
_SIGNATURE = b',"signature":"'


@dataclass(frozen=True, slots=True)
class Purged:
    """A purged day. line: its last line, a checkpoint, as it stood there; statement: the signed line of JSON."""

    line: bytes
    statement: bytes
    checkpoint: Checkpoint
    seq: int

    @property
    def head(self) -> bytes:
        """The chain's hash after the day's last line."""
        body, before = unseal(self.line)
        return link(before, body)

    def is_signed(self, keys: PublicKeys) -> bool:
        """Whether the checkpoint and the statement are signed by the same known key, and speak of the same day."""
        try:
            said = json.loads(self.statement)
            named = said["day"], said["seq"], said["hash"], said["key"]
            signature = b64decode(said["signature"], validate=True)
        except (ValueError, KeyError, TypeError):
            return False
        checkpoint, key = self.checkpoint, keys.get(str(named[3]))
        if key is None or named[:3] != (checkpoint.day, self.seq, self.head.hex()):
            return False
        text, _, _ = self.statement.rpartition(_SIGNATURE)
        try:
            key.verify(signature, text + b"}")
        except InvalidSignature:
            return False
        return is_signed(unseal(self.line)[0], checkpoint, keys)


def purge_statement(notary: Notary, line: bytes, *, who: str, reason: str, held: int, now: datetime) -> bytes:
    """The signed statement that the day whose last line this is was purged. held: lines that were kept for holds."""
    body, before = unseal(line)
    last = parse_line(line)
    if not isinstance(last.entry, Checkpoint):
        raise Corrupt("the last line of the day is no checkpoint")
    text = json.dumps(
        {
            "v": 1,
            "type": "purged",
            "day": last.entry.day,
            "first": last.entry.first,
            "seq": last.seq,
            "hash": link(before, body).hex(),
            "root": last.entry.root,
            "time": moment(int(now.timestamp() * 1000)),
            "node": notary.node,
            "who": who,
            "reason": reason,
            "held": held,
            "key": notary.name,
        },
        separators=(",", ":"),
    ).encode("ascii")
    return b'%b,"signature":"%b"}' % (text[:-1], b64encode(notary.key.sign(text)))


def purged_path(log: Path, day: str) -> Path:
    """Where the proof of a day is."""
    return log / f"{day}.purged"


def purged_days(log: Path) -> list[Path]:
    """The proofs of a log's purged days, oldest first."""
    return sorted(path for path in log.iterdir() if _NAME.fullmatch(path.name)) if log.is_dir() else []


def read_purged(path: Path) -> Purged:
    """Read a proof. Raises Corrupt; signatures are not checked here."""
    try:
        line, statement = path.read_bytes().splitlines()
    except ValueError as error:
        raise Corrupt(f"{path}: a proof has two lines") from error
    last = parse_line(line)
    if not isinstance(last.entry, Checkpoint) or last.entry.closes is not Closes.DAY:
        raise Corrupt(f"{path}: the first line is not the checkpoint that ends a day")
    return Purged(line, statement, last.entry, last.seq)
