"""Settings of the record."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from enforcer.config.fields import (
    Size,
    choice,
)
from enforcer.config.section import Section


class Index(StrEnum):
    """Where the attempts are indexed for look-ups."""

    SQLITE = "sqlite"


class Attempts(Section):
    """The record of what was blocked."""

    later = frozenset({"retention_days", "sinks"})

    aggregate_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Repeats within so many seconds become one summary with a count; 0 turns it off.",
    )
    fsync_s: float = Field(
        1.0,
        ge=0.01,
        le=60,
        description="The most seconds of records that a power cut can take; a killed process takes none.",
    )
    spool_max: Size = Field(
        2_000_000_000,
        description="The most bytes that wait for the hub; above it the newest are counted, and not kept.",
    )
    index: Annotated[Index, choice(Index, "postgresql")] = Field(Index.SQLITE, description="Where look-ups are made.")
