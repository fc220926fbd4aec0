"""The words of an attribution are those of the record."""

import pytest

from enforcer.devices.device import Confidence, Device, Granularity, Source, State


def test_the_words_are_those_of_the_record() -> None:
    assert " ".join(Source) == "certificate tunnel radius token lease edns neighbour network unknown"
    assert " ".join(Confidence) == "high medium low none"
    assert " ".join(State) == "resolved stale unresolved unlisted conflict"
    assert " ".join(Granularity) == "device connection network"


def test_a_device_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Device("dev-1", "field").id = "dev-2"  # type: ignore[misc]
