"""Reviewers' marks on incidents: each is an event in the chain, so that the record says who judged what, and when."""

import json
from collections.abc import Mapping

from enforcer.attempts.incidents import mark_detail
from enforcer.attempts.index import Review, Subject
from enforcer.attempts.index.batch import MARK
from enforcer.control import Answer, Operation, Request, text_of
from enforcer.errors import Malformed, Unavailable
from enforcer.part import Means, Part

NOTE_OCTETS = 1200
"""Of a note as JSON: a line of the log has no more than 2 kB."""


class Marks(Part):
    """Takes marks from commands and console; what was answered is on the disk."""

    def __init__(self, means: Means) -> None:
        self._means = means

    @property
    def operations(self) -> Mapping[str, Operation]:
        """See Part."""
        return {"mark": self._mark}

    async def _mark(self, request: Request) -> Answer:
        """Mark an incident: `device`, or `realm` and `client_ip`; `service`, `state`, `note`, `who`."""
        subject = _subject(request)
        service, note, who = (text_of(request, key) for key in ("service", "note", "who"))
        if len(json.dumps(note)) > NOTE_OCTETS:
            raise Malformed(f'"note" has more than {NOTE_OCTETS} octets; write less')
        try:
            state = Review(text_of(request, "state"))
        except ValueError:
            raise Malformed(f'"state" is one of {", ".join(Review)}') from None
        try:
            self._means.record_now(MARK, mark_detail(subject, service, state, note, who))
        except OSError as error:
            raise Unavailable(f"the mark cannot be recorded: {error.strerror}") from error
        return {}


def _subject(request: Request) -> Subject:
    if request.get("device") is not None:
        return Subject(text_of(request, "device"))
    return Subject(None, text_of(request, "realm"), text_of(request, "client_ip"))
