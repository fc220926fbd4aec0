"""Names that stay reachable: neighbours that a list names itself, and what a device needs to work at all."""

from dataclasses import dataclass

from enforcer.policy.rules import Kind
from enforcer.wire.name import Name

BUILT_IN_LIST = "built-in"


@dataclass(frozen=True, slots=True)
class Protection:
    """One name that third-party lists cannot block.

    kind: EXACT or SUFFIX. name: as a rule's trigger. list: the list that names it, or "built-in", which has no line.
    """

    kind: Kind
    name: str
    why: str
    list: str
    file: str
    line: int | None
    source: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.kind} {self.name} ({self.why})"


def covers(kind: Kind, above: Name, name: Name) -> bool:
    """Whether an EXACT or SUFFIX trigger matches a name."""
    if kind is Kind.EXACT or len(above) >= len(name):
        return above == name
    # At a label border: the suffix must be what is left after whole labels.
    while len(name) > len(above):
        name = name[name[0] + 1 :]
    return above == name


_NEEDED: tuple[tuple[str, str | None, Kind, tuple[str, ...]], ...] = (
    ("push messages, through which devices are managed", "support.apple.com/101555", Kind.SUFFIX, ("push.apple.com",)),
    (
        "push messages, through which devices are managed",
        "firebase.google.com/docs/cloud-messaging: ports and your firewall",
        Kind.EXACT,
        ("fcm.googleapis.com", "mtalk.google.com", *(f"alt{number}-mtalk.google.com" for number in range(1, 9))),
    ),
    (
        "checks for a captive portal, without which a device leaves the network",
        None,
        Kind.EXACT,
        (
            "captive.apple.com",
            "clients3.google.com",
            "connectivitycheck.android.com",
            "detectportal.firefox.com",
            "www.msftconnecttest.com",
        ),
    ),
    ("checks of the connection and of private DNS", "Android: DnsTlsTransport.cpp", Kind.SUFFIX, ("gstatic.com",)),
    (
        "time, without which no certificate is valid",
        None,
        Kind.SUFFIX,
        ("pool.ntp.org", "time.android.com", "time.apple.com", "time.google.com", "time.windows.com"),
    ),
    ("captchas, which sites ask to be solved", None, Kind.EXACT, ("challenges.cloudflare.com", "www.recaptcha.net")),
    ("captchas, which sites ask to be solved", None, Kind.SUFFIX, ("hcaptcha.com",)),
    ("discovery of NAT64", "RFC 8880", Kind.EXACT, ("ipv4only.arpa",)),
)

BUILT_IN = tuple(
    Protection(kind, name, why, BUILT_IN_LIST, BUILT_IN_LIST, None, source)
    for why, source, kind, names in _NEEDED
    for name in names
)
"""Small on purpose: what breaks the device itself, and what no list is right to block."""
