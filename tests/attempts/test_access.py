import pytest

from enforcer.attempts.access import TEXT_MAX, Access, Look, access_of
from enforcer.errors import Malformed

REVEAL = Access(Look.REVEAL, "alice", "ticket 4711", device="dev-1")
EXPORT = Access(Look.EXPORT, "bob", "access request 12", "dev-2", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 41)


@pytest.mark.parametrize("access", [REVEAL, EXPORT], ids=["reveal", "export"])
def test_what_is_asked_for_is_what_is_recorded(access: Access) -> None:
    assert access_of(access.detail()) == access


def test_long_texts_are_cut_before_they_are_asked() -> None:
    detail = Access(Look.REVEAL, "x" * 1000, "y" * 1000).detail()
    assert (len(str(detail["who"])), len(str(detail["reason"]))) == (TEXT_MAX, TEXT_MAX)
    access_of(detail)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"look": "peek"}, '"look" is none of reveal, export, bundle'),
        ({"look": None}, '"look" is none of'),
        ({"who": None}, "say who looks, and why"),
        ({"reason": ""}, "say who looks, and why"),
        ({"who": 7}, '"who" is no text'),
        ({"device": "x" * 201}, '"device" is no text of 200 characters'),
        ({"records": -1}, '"records" is no number'),
        ({"records": True}, '"records" is no number'),
    ],
)
def test_anything_else_is_malformed(change: dict[str, object], text: str) -> None:
    with pytest.raises(Malformed, match=text):
        access_of({**EXPORT.detail(), **change})
