"""Settings of the policy: what is banned, for whom, and what users are told."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from enforcer.config.fields import (
    AnyPath,
    Contact,
    File,
    Identifier,
    Line,
    ListFile,
    Until,
    Within,
    choice,
)
from enforcer.config.section import Section
from enforcer.config.values import is_identifier, quoted
from enforcer.decide.dns import Ech
from enforcer.policy.rules import Evidence, Mode
from enforcer.policy.thirdparty import Format


class ThirdParty(Section):
    """A list that somebody else keeps: names alone, all for one service."""

    file: AnyPath = Field(description="The list, relative to the folder of this file.", examples=["lists/tracking.txt"])
    format: Annotated[Format, choice(Format)] = Field(
        Format.AUTO, description="How the list is written; auto finds out."
    )
    service: Identifier = Field(description="The banned service that its names belong to.", examples=["wechat"])
    part: Identifier = Field("listed", description="The part of the service, for the record.")
    evidence: Annotated[Evidence, choice(Evidence)] = Field(
        Evidence.SHARED, description="What one match says about the device."
    )
    max_bad_lines: int = Field(
        100, ge=0, le=1_000_000, description="With more unreadable lines than this, the last good copy stays in force."
    )
    name: Identifier | None = Field(
        None, description="The list's name in rules; by default its file's, without the ending."
    )

    @property
    def list_name(self) -> str:
        """The name of the list in rules and records."""
        return self.name or self.file.stem

    @model_validator(mode="after")
    def _can_be_named(self) -> Self:
        if not is_identifier(self.list_name) or not self.list_name.strip("."):  # it is also the name of a file
            raise ValueError(f'{quoted(self.list_name)} cannot name a list; write its name, as in name: "tracking"')
        return self


class Notice(Section):
    """What users are told, in both languages."""

    en: Line = Field("Blocked by organization policy", description="Why something was refused, in English.")
    fr: Line = Field("Bloqué par la politique de l’organisation", description="Why something was refused, in French.")
    contact: Contact | None = Field(None, description="Whom to ask: a mailto: or tel: URI.")
    monitoring_notice_acknowledged: bool = Field(
        False,
        description="True states that the users of these devices have been told that attempts are recorded per device. "
        "Until then neither device nor client address is written down anywhere.",
    )


class Exemption(Section):
    """Who may reach a banned service, until when, why, and who says so."""

    device: Identifier | None = Field(None, description="The id of the exempt device; or `group`.")
    group: Identifier | None = Field(None, description="The group whose devices are exempt; or `device`.")
    services: tuple[Identifier, ...] = Field(min_length=1, description="The services.", examples=[["kaspersky"]])
    until: Until = Field(
        description="The moment at which it ends. A bare date ends at 00:00 UTC of that day, a time needs a zone.",
        examples=["2027-03-31"],
    )
    reason: Line = Field(description="Why, for the auditor.", examples=["malware laboratory"])
    approved_by: Line = Field(description="Who answers for it.", examples=["Director, IT Security"])

    @model_validator(mode="after")
    def _one_holder(self) -> Self:
        if (self.device is None) == (self.group is None):
            raise ValueError('an exemption is for one device or one group; write either "device" or "group"')
        return self


class Monitored(Section):
    """Whose attempts are recorded and not blocked, until when, why, and who says so."""

    device: Identifier | None = Field(None, description="The id of the device; or `group`.")
    group: Identifier | None = Field(None, description="The group whose devices are observed; or `device`.")
    until: Until = Field(
        description="The moment at which it ends. A bare date ends at 00:00 UTC of that day, a time needs a zone.",
        examples=["2027-03-31"],
    )
    reason: Line = Field(description="Why, for the auditor.", examples=["pilot before the ban"])
    approved_by: Line = Field(description="Who answers for it.", examples=["Director, IT Security"])

    @model_validator(mode="after")
    def _one_holder(self) -> Self:
        if (self.device is None) == (self.group is None):
            raise ValueError('monitoring is for one device or one group; write either "device" or "group"')
        return self


class Policy(Section):
    """What is banned, for whom not, and what users are told."""

    lists: tuple[ListFile, ...] = Field(
        min_length=1,
        description="The lists in force, relative to the folder of this file; a bare name also finds a shipped list.",
        examples=[["wechat.yaml"]],
    )
    require_signature: tuple[File, ...] = Field(
        (),
        description="Public keys (minisign) of those who may sign lists: with any, each of `lists` needs a good "
        "signature beside it, NAME.minisig, or it is refused. Third-party lists are not signed.",
        examples=[["lists.pub"]],
    )
    third_party: tuple[ThirdParty, ...] = Field((), description="Large lists of names that somebody else keeps.")
    mode: Annotated[Mode, choice(Mode)] = Field(
        Mode.ENFORCE,
        description="enforce blocks; monitor forwards, and records what would have been blocked. Realms can differ.",
    )
    ban: Line = Field(
        description="The instrument of the ban; goes into every record whose list names none.",
        examples=["tbs-2023-10-30"],
    )
    notice: Notice = Field(Notice(), description="What users are told.")
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A reload that would take more than this share of its rules from a service is refused: a list that "
        "was cut off looks like that. 1 lets any through.",
    )
    exemptions: tuple[Exemption, ...] = Field((), description="Who may reach a banned service for a while.")
    monitored: tuple[Monitored, ...] = Field((), description="Who is observed for a while instead of blocked.")


class Realm(Section):
    """An addressing domain whose clients are served and held to the policy."""

    name: Identifier = Field(description="The realm's name in records.", examples=["apn-gov"])
    networks: tuple[Within, ...] = Field(
        (),
        description="Its clients' networks; none where every listener wants tokens or client certificates, "
        "and who shows one may be anywhere.",
        examples=[["10.20.0.0/16", "2001:db8:20::/48"]],
    )
    listeners: tuple[Identifier, ...] = Field(
        min_length=1,
        description="The resolver's listeners at which its clients ask.",
        examples=[["dns"]],
    )
    proxy_modes: tuple[str, ...] = Field(
        (),
        description="The modes of the proxy, as proxy.modes has them, through which its clients connect; by default "
        "all of them.",
        examples=[["regular@127.0.0.1:5080"]],
    )
    interfaces: tuple[Identifier, ...] = Field(
        (),
        description="The gateway's interfaces by which its clients come, where several realms have the same addresses; "
        "none: any.",
        examples=[["apn0"]],
    )
    mode: Annotated[Mode, choice(Mode)] = Field(
        Mode.ENFORCE, description="enforce or monitor, in this realm; by default what policy.mode says."
    )
    ech: Annotated[Ech, choice(Ech)] | None = Field(
        None, description="pass, strip or drop_https, in this realm; by default what resolver.ech says."
    )
