"""What several pages show alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from enforcer.attempts.attempt import moment
from enforcer.attempts.incidents import Incident
from enforcer.attempts.index import Subject
from enforcer.console.site import Ask, Site
from enforcer.console.texts import Lang
from enforcer.errors import EnforcerError
from enforcer.orders import Pause
from enforcer.policy.rules import Mode


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the ban is in force. monitored: realms that only observe. trouble: why nothing can be said."""

    ban: str
    ruleset: str | None
    monitored: tuple[str, ...]
    pauses: tuple[Pause, ...]
    exempt: int
    acknowledged: bool
    trouble: str | None

    @property
    def enforced(self) -> bool:
        """Everywhere, with nothing paused."""
        return self.trouble is None and not self.monitored and not self.pauses


def standing(site: Site) -> Standing:
    """From what workers follow: it holds with the hub away too."""
    config = site.config()
    ruleset: str | None = None
    pauses: tuple[Pause, ...] = ()
    trouble: str | None = None
    now = site.clock()
    try:
        orders = site.policies.orders()
        ruleset, pauses = orders.policy[:12], tuple(pause for pause in orders.pauses if pause.until > now)
    except EnforcerError as error:
        trouble = str(error)
    return Standing(
        ban=config.policy.ban,
        ruleset=ruleset,
        monitored=tuple(realm.name for realm in config.realms if realm.mode is Mode.MONITOR),
        pauses=pauses,
        exempt=sum(each.until > now for each in config.policy.exemptions),
        acknowledged=config.policy.notice.monitoring_notice_acknowledged,
        trouble=trouble,
    )


def titles_of(ask: Ask) -> Mapping[str, str]:
    """What people call each service, in the reader's language; empty while no policy can be read."""
    try:
        titles = ask.site.policies.in_force().titles
    except EnforcerError:
        return {}
    return {service: title.fr if ask.visitor.lang is Lang.FR else title.en for service, title in titles.items()}


def series_of(services: Iterable[str]) -> list[str]:
    """Services in the order of the alphabet, so that each keeps its colour from page to page; `bypass` is last."""
    return sorted(services, key=lambda service: (service == "bypass", service))


def incident_path(subject: Subject, service: str) -> str:
    """The address of an incident's page."""
    parts = ("device", subject.device) if subject.device is not None else ("address", subject.realm, subject.client_ip)
    return "/incidents/" + "/".join(quote(str(part), safe="") for part in (*parts, service))


def incident_row(each: Incident) -> Mapping[str, object]:
    """An incident as a row of a page's tables."""
    return {
        "table": "incidents",
        "device": each.subject.device,
        "realm": each.subject.realm,
        "client_ip": each.subject.client_ip,
        "service": each.service,
        "state": str(each.state),
        "evidence": each.strength,
        "last": moment(each.last_ms),
        "attempts": each.attempts,
    }


def days_left(until: datetime, now: datetime) -> int:
    """Whole days until a moment, the begun one too; 0 when it has passed."""
    left = until - now
    return max(left.days + (1 if left.seconds or left.microseconds else 0), 0)
