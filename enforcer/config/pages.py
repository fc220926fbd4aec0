"""Settings of the pages: what Prometheus and people read."""

from pydantic import Field

from enforcer.config.fields import (
    Listen,
)
from enforcer.config.section import Section


class Metrics(Section):
    """The page that Prometheus reads."""

    listen: Listen = Field(
        "127.0.0.1:9310",
        validate_default=True,
        description="Address and port. A change needs a restart.",
    )
    devices: int = Field(50, ge=0, le=1000, description="How many devices have a series of their own; 0 for none.")
    probe_s: float = Field(
        60,
        ge=0,
        le=3600,
        description="Seconds between questions to our own resolver for a banned name of each service; 0 for none.",
    )
