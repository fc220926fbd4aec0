"""How commands ask the hub on behalf of a person."""

import getpass
import os

from enforcer.attempts.access import Access
from enforcer.control import ask
from enforcer.folders import Folders


def operator() -> str:
    """Who is asking, as the machine knows them; behind sudo, who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name; the error depends on the version of Python
        return f"user {os.getuid()}"


def record_access(folders: Folders, access: Access) -> None:
    """Have the hub write down that somebody looks at raw identifiers or takes records away, before they do.

    Raises Unavailable when there is no hub to do it, and EnforcerError with its text when it cannot: then nothing
    must be shown.
    """
    ask(folders.control, {"op": "access", **access.detail()})
