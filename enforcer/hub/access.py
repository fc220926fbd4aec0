"""The hub's part that writes down who looks at raw identifiers or takes records away, before they get to see them."""

from collections.abc import Mapping

from enforcer.attempts.access import access_of
from enforcer.control import Answer, Operation, Request
from enforcer.errors import Unavailable
from enforcer.part import Means, Part


class AccessLog(Part):
    """Answers `access` when the event is on the disk; without that answer nothing is shown."""

    def __init__(self, means: Means) -> None:
        self._means = means

    @property
    def operations(self) -> Mapping[str, Operation]:
        """`access`, with the fields of `attempts.access.Access`."""
        return {"access": self._op_access}

    async def _op_access(self, request: Request) -> Answer:
        detail = access_of(request).detail()
        try:
            self._means.record_now("access", detail)
        except OSError as error:
            raise Unavailable(f"the access cannot be recorded, so it is refused: {error.strerror}") from error
        return {"seq": self._means.log.seq}
