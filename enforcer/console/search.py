"""The search field: what somebody writes there is an attempt, an address, a name, or a device."""

from urllib.parse import quote, urlencode

from enforcer.attempts.attempt import Attempt
from enforcer.attempts.index import Filter
from enforcer.console.asked import sought
from enforcer.console.site import Ask


def target(ask: Ask) -> str:
    """Where to go for it: the page of an attempt or a device that there is, else the attempts that would match."""
    kind, value = sought(ask.words.get("q", ""))
    if not value:
        return "/attempts"
    with ask.site.index() as index:
        if kind == "id":
            line = index.get(value)
            if line is not None and isinstance(line.entry, Attempt):
                return f"/attempts/{value}"
            kind = "device"
        if kind == "device" and index.find(Filter(device=value), 1):
            return f"/devices/{quote(value, safe='')}"
    return f"/attempts?{urlencode({kind: value, 'since': 'all'})}"
