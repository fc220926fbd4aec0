"""The folder `data_dir/identity`: what only our own user may read."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from enforcer.attempts.durable import replace_file
from enforcer.errors import Unavailable

_KEY_OCTETS = 32


class Store:
    """The key for pseudonyms, and when each device was seen last. Raises Unavailable when the folder cannot be had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        except OSError as error:
            raise Unavailable(f"{folder}: cannot be made ({error.strerror}); name another data_dir") from error

    def key(self, now_s: float, lasts_s: float) -> bytes:
        """The key for pseudonyms of what is not in the inventory; another one when it is older than `lasts_s`.

        With a key's end the pseudonyms made with it can be found out by nobody any more.
        """
        path = self.folder / "pseudonym.key"
        with suppress(OSError):
            key = path.read_bytes()
            if len(key) == _KEY_OCTETS and now_s - path.stat().st_mtime < lasts_s:
                return key
        key = os.urandom(_KEY_OCTETS)
        try:
            replace_file(path, key)
        except OSError as error:
            raise Unavailable(f"{path}: cannot be written ({error.strerror})") from error
        return key

    def seen(self) -> dict[str, int]:
        """When each device was seen last, in ms since 1970."""
        try:
            found = json.loads((self.folder / "seen.json").read_bytes())
            return {str(device): int(at) for device, at in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def save_seen(self, seen: Mapping[str, int]) -> None:
        """Keep that. Raises OSError."""
        replace_file(self.folder / "seen.json", json.dumps(seen).encode())
