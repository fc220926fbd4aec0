"""The configuration: one file, enforcer.yaml. Each section has a file of its own here."""

import socket
from pathlib import Path

from pydantic import Field, model_validator

from enforcer.config.attempts import Attempts
from enforcer.config.fields import (
    AnyPath,
    Identifier,
)
from enforcer.config.gateway import Gateway
from enforcer.config.identity import Identity
from enforcer.config.pages import BlockPage, Console, Metrics
from enforcer.config.policy import Policy, Realm
from enforcer.config.proxy import Proxy
from enforcer.config.resolver import Resolver
from enforcer.config.section import Section


class Config(Section):
    """Enforcer's configuration: one file, enforcer.yaml."""

    node: Identifier = Field(
        default_factory=socket.gethostname,
        validate_default=True,
        description="This machine's name in records; by default its host name. A change needs a restart.",
    )
    data_dir: AnyPath = Field(
        Path("/var/lib/enforcer"),
        description="Where everything is kept, relative to the folder of this file. A change needs a restart.",
    )
    policy: Policy = Field(
        description="What is banned.", examples=[{"lists": ["wechat.yaml"], "ban": "tbs-2023-10-30"}]
    )
    realms: tuple[Realm, ...] = Field(
        min_length=1,
        description="Who is served and held to the policy.",
        examples=[[{"name": "apn-gov", "networks": ["10.20.0.0/16"], "listeners": ["dns"]}]],
    )
    resolver: Resolver = Field(
        description="The filtering resolver.",
        examples=[{"listeners": [{"name": "dns", "udp": "127.0.0.1:5300", "tcp": "127.0.0.1:5300"}]}],
    )
    proxy: Proxy = Field(Proxy(), description="The proxy; without modes there is none.")
    gateway: Gateway = Field(Gateway(), description="The rules in the kernel of a Linux gateway, and the gate.")
    identity: Identity = Field(Identity(), description="How an address becomes a device.")
    attempts: Attempts = Field(Attempts(), description="The record of what was blocked.")
    metrics: Metrics = Field(Metrics(), description="The page that Prometheus reads.")
    console: Console | None = Field(None, description="Pages for those who review; without it there are none.")
    block_page: BlockPage | None = Field(None, description="What the sinkhole's visitors see; by default nothing.")

    @model_validator(mode="before")
    @classmethod
    def _realms_follow_the_policy(cls, values: object) -> object:
        """A realm without a mode has that of the policy, so that a realm's mode is the only one to ask for."""
        match values:
            case {"policy": {"mode": "enforce" | "monitor" as mode} as policy, "realms": list(realms), **others}:
                followed = [
                    {**realm, "mode": mode} if isinstance(realm, dict) and not realm.get("mode") else realm
                    for realm in realms
                ]
                return {**others, "policy": policy, "realms": followed}
            case _:
                return values

    @property
    def ede_text(self) -> str:
        """EXTRA-TEXT of a blocked answer: the configured one, or the notice in both languages and whom to ask."""
        if self.resolver.ede.text is not None:
            return self.resolver.ede.text
        notice = self.policy.notice
        contact = "" if notice.contact is None else f" ({notice.contact.partition(':')[2]})"
        return f"{notice.en} / {notice.fr}{contact}"


def upstream_labels(config: Config) -> tuple[str, ...]:
    """The upstreams' names in metrics, by their numbers: what is forwarded first, since `auto` has no names."""
    forwarded = tuple(
        f"{zone} {upstream.label}"
        for zone, upstreams in config.resolver.local.forward.items()
        for upstream in upstreams
    )
    return forwarded + tuple(upstream.label for upstream in config.resolver.upstreams)
