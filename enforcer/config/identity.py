"""Settings of identity: how an address becomes a device."""

from pydantic import Field

from enforcer.config.fields import (
    File,
)
from enforcer.config.section import Section


class Inventory(Section):
    """The devices, in a file of one's own keeping."""

    file: File = Field(
        description="A CSV file with the columns id, group, addresses and realm.", examples=["devices.csv"]
    )


class Identity(Section):
    """How an address becomes a device."""

    later = frozenset({"radius", "leases"})

    inventory: Inventory | None = Field(None, description="The static inventory; without one every device is unknown.")
