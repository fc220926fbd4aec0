"""Who signs in at the console, or tries to: each is an event in the chain. The console itself writes nothing."""

from collections.abc import Mapping

from enforcer.control import Answer, Operation, Request, text_of
from enforcer.errors import Malformed
from enforcer.part import Means, Part

VISIT = "visit"
DEEDS = ("sign_in", "sign_in_refused", "sign_out")

_TEXT_MAX = 80


class Visits(Part):
    """Takes visits from the console, and plans their events."""

    def __init__(self, means: Means) -> None:
        self._means = means

    @property
    def operations(self) -> Mapping[str, Operation]:
        """See Part."""
        return {"visit": self._visit}

    async def _visit(self, request: Request) -> Answer:
        """`what` was done, `who` did it, `via` which way of showing who one is, and `from` which address."""
        what = text_of(request, "what")
        if what not in DEEDS:
            raise Malformed(f'"what" is one of {", ".join(DEEDS)}')
        said = {key: text_of(request, key)[:_TEXT_MAX] for key in ("who", "via", "from")}
        self._means.record(VISIT, {"what": what, **said})
        return {}
