"""Which device held an address of a realm at a moment: the one look-up, over all sources.

Sources are asked in the order of their rank, strongest first. When two name different devices, the stronger counts, the
answer says that there was a conflict, and it is counted.
"""

import hmac
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from enforcer.devices.claims import Claim, Claims
from enforcer.devices.device import (
    Address,
    Binding,
    Confidence,
    Device,
    Granularity,
    Identity,
    Owner,
    Source,
    State,
)
from enforcer.devices.inventory import Found, Inventory, Key, Kind
from enforcer.devices.networks import NOBODY, Networks
from enforcer.devices.session import Place, Report, Session
from enforcer.devices.sessions import SessionTable
from enforcer.devices.subject import mac_of

__all__ = ["NOBODY", "Conflict", "Registry", "Waits"]

_CONFIDENCE = {
    Source.CERTIFICATE: Confidence.HIGH,
    Source.TUNNEL: Confidence.HIGH,
    Source.TOKEN: Confidence.MEDIUM,
    Source.LEASE: Confidence.MEDIUM,
    Source.EDNS: Confidence.MEDIUM,
    Source.NEIGHBOUR: Confidence.LOW,
}
_PROOFS = (Source.CERTIFICATE, Source.TOKEN)
_DISAGREED_MAX = 10_000
_UMBRELLA_FIELDS = {0x08: 4, 0x10: 4, 0x20: 16, 0x40: 8}  # organisation, IPv4, IPv6, device
_MAC_OPTIONS = frozenset((65001, 65073))  # as dnsmasq adds them: six octets, or text of them


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two sources that name different devices for one address; the first is the stronger, which counts."""

    realm: str
    source: Source
    device: str
    other_source: Source
    other_device: str


@dataclass(frozen=True, slots=True)
class Waits:
    """For how long the record of an attempt waits: for an owner, and for another than it seems to have."""

    unknown_ms: int
    settle_ms: int


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What one source says."""

    source: Source
    confidence: Confidence
    found: Found
    age_ms: int | None
    stale: bool = False
    granularity: Granularity = Granularity.DEVICE


class Registry:
    """Everything that is known of who is behind an address. Tables of sessions and claims are filled by their sources.

    waits: for how long a record waits for its device, by realm; none where all is known beforehand. moved: set when a
    watched device may have come or gone. lookups: attempts by realm, source and result (`hit`, `stale`, `unknown`).
    conflicts: by the two sources. disagreed: each pair of devices, and whether that is recorded already.
    key: for the hashes of identifiers that are not in the inventory. states: devices by state, where they are counted.
    proven: devices whose attempts came with a certificate or a token, for who takes them out.
    """

    def __init__(
        self,
        inventory: Inventory | None = None,
        *,
        sessions: SessionTable | None = None,
        claims: Sequence[Claims] = (),
        key: bytes = b"",
    ) -> None:
        self.lookups: Counter[tuple[str, Source, str]] = Counter()
        self.conflicts: Counter[tuple[Source, Source]] = Counter()
        self.disagreed: dict[Conflict, bool] = {}
        self.sessions = SessionTable() if sessions is None else sessions
        self.claims: tuple[Claims, ...] = tuple(claims)
        self.key = key
        self.waits: dict[str, Waits] = {}
        self.moved = False
        self.proven: set[str] = set()
        self.states: Mapping[str, int] | None = None
        self._changed: set[Place] = set()
        self._all_changed = False
        self._watched: frozenset[str] = frozenset()
        self._of_watched: dict[Session, None] = {}
        self._places: set[Place] = set()
        self.use(inventory or Inventory())

    def use(self, inventory: Inventory) -> None:
        """Put another inventory in force."""
        self.inventory = inventory
        self._networks = Networks(inventory.bindings)
        self._all_changed = True
        self.watch(self._watched)

    def report(self, report: Report) -> Session | None:
        """Take in what a gateway reports; returns its session, or None for what is no session's."""
        session = self.sessions.apply(report)
        if self._watched:
            self._follow(session)
        return session

    def _follow(self, session: Session | None) -> None:
        """See whether a watched device has come or gone, or somebody else has got an address of one's."""
        if session is None:
            self.moved = True
        elif self._is_watched(session):
            self._of_watched[session] = None
            self.moved = True
        elif any((session.realm, prefix) in self._places for prefix in session.prefixes):
            self.moved = True

    def adopt(self, session: Session) -> bool:
        """Take in a session as another gateway knows it; False when it is known here already."""
        if not self.sessions.adopt(session):
            return False
        if self._watched:
            self._follow(session)
        return True

    def read(self, claims: Claims, found: Iterable[Claim], now_ms: int) -> None:
        """Take in a reading of one of `claims`."""
        changed = claims.take(found, now_ms)
        self._changed.update((claims.realm, prefix) for prefix in changed)
        self.moved |= bool(changed)

    def take_changes(self) -> tuple[set[Place], bool]:
        """The prefixes that may have changed hands since the last call; True when any may have."""
        changed, reset = self.sessions.take_changes()
        changed |= self._changed
        reset |= self._all_changed
        self._changed, self._all_changed = set(), False
        return changed, reset

    def watch(self, devices: Collection[str]) -> None:
        """Keep ready which addresses these devices may have: those with an exemption."""
        self._watched = frozenset(devices)
        every = self.sessions.sessions() if self._watched else ()
        self._of_watched = {session: None for session in every if self._is_watched(session)}

    def places(self) -> set[Place]:
        """Where the watched devices may be now, each to be asked about with `certain`."""
        if not self._watched:
            return set()
        found: set[Place] = set()
        for session in list(self._of_watched):
            if session.stop_ms is not None:
                del self._of_watched[session]
            found.update((session.realm, prefix) for prefix in session.prefixes)
        for claims in self.claims:
            for prefix, subject in claims.held_now():
                who = self.inventory.find(subject)
                if who is not None and who.device is not None and who.device.id in self._watched:
                    found.add((claims.realm, prefix))
        self._places = found
        return found

    def _is_watched(self, session: Session) -> bool:
        found = self.inventory.find(session.subject)
        return found is not None and found.device is not None and found.device.id in self._watched

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The static addresses of the inventory."""
        return self.inventory.bindings

    def owner(self, realm: str, address: Address, at: datetime, shown: str | None = None) -> Owner:
        """Who held an address at a moment, or `NOBODY`. Conflicts are counted.

        shown: what the client has shown of itself, as in a spool entry: `certificate:HEX`, `token:HEX`,
        `edns:CODE:HEX`.
        """
        owner, conflicts = self._judge(realm, address, int(at.timestamp() * 1000), shown)
        for conflict in conflicts:
            self.conflicts[conflict.source, conflict.other_source] += 1
            if len(self.disagreed) < _DISAGREED_MAX:
                self.disagreed.setdefault(conflict, False)
        return owner

    def recorded(self, realm: str, owner: Owner, count: int) -> None:
        """Count that attempts were recorded with an owner."""
        known = owner.device is not None
        result = "stale" if owner.identity.state is State.STALE else "hit" if known else "unknown"
        self.lookups[realm, owner.identity.source if known else Source.UNKNOWN, result] += count
        if owner.device is not None and owner.identity.source in _PROOFS and owner.identity.state is State.RESOLVED:
            self.proven.add(owner.device)

    def certain(self, realm: str, address: Address | None, now_ms: int, shown: str | None = None) -> Device | None:
        """The device behind an address, or of what was shown, when that is fresh and beyond doubt; None otherwise.

        This is what may lower the policy for it, so anything less than a resolved device is nobody. Not counted.
        """
        owner, _ = self._judge(realm, address, now_ms, shown)
        if owner.device is None or owner.identity.state is not State.RESOLVED:
            return None
        return Device(owner.device, owner.group)

    def pseudonym(self, key: Key) -> str:
        """How an identifier that is not in the inventory is named: a keyed hash, since a plain one can be guessed."""
        return f"unlisted:{hmac.digest(self.key, ':'.join(key).encode(), 'sha256').hex()[:16]}"

    def _judge(
        self, realm: str, address: Address | None, at_ms: int, shown: str | None
    ) -> tuple[Owner, list[Conflict]]:
        static = NOBODY if address is None else self._networks.owner(realm, address)
        if shown is None and not self.claims and not len(self.sessions):  # a site without any of that is quick
            return static, []
        evidence = sorted(self._evidence(realm, address, at_ms, shown), key=_rank)
        if not evidence:
            return static, []
        best = evidence[0]
        named = [(each.source, each.found.device.id) for each in evidence[1:] if each.found.device and not each.stale]
        if static.device is not None:
            named.append((Source.NETWORK, static.device))
        device = best.found.device
        conflicts = []
        if device is not None:
            conflicts = [Conflict(realm, best.source, device.id, *each) for each in named if each[1] != device.id]
        return self._owner(best, conflict=bool(conflicts)), conflicts

    def _owner(self, best: _Evidence, *, conflict: bool) -> Owner:
        device = best.found.device
        if best.stale:
            state = State.STALE
        elif device is None:
            state = State.UNLISTED
        else:
            state = State.CONFLICT if conflict else State.RESOLVED
        identity = Identity(
            best.source,
            Confidence.LOW if best.stale else best.confidence,
            state,
            None if best.age_ms is None else best.age_ms // 1000,
            best.granularity,
        )
        if device is not None:
            return Owner(device.id, device.group, identity)
        return Owner(None if best.found.unlisted is None else self.pseudonym(best.found.unlisted), None, identity)

    def _evidence(self, realm: str, address: Address | None, at_ms: int, shown: str | None) -> Iterator[_Evidence]:
        if shown is not None and (said := self._shown(shown)) is not None:
            yield said
        if address is None:
            return
        holding = self.sessions.holder(realm, address, at_ms)
        if holding is not None and (found := self.inventory.find(holding.subject)) is not None:
            yield _Evidence(
                Source.RADIUS,
                Confidence.HIGH if holding.subject.is_mobile else Confidence.MEDIUM,
                found,
                holding.age_ms,
                holding.stale,
                # A phone may share its connection with what is tethered to it.
                Granularity.CONNECTION if holding.subject.is_mobile else Granularity.DEVICE,
            )
        for claims in self.claims:
            if claims.realm != realm or (subject := claims.holder(address, at_ms)) is None:
                continue
            found = self.inventory.find(subject)
            if found is not None:
                yield _Evidence(
                    claims.source,
                    _CONFIDENCE[claims.source],
                    found,
                    claims.age_ms(at_ms),
                    claims.is_stale(at_ms),
                )

    def _shown(self, shown: str) -> _Evidence | None:
        """What a certificate, a token, or an option of a trusted forwarder says; None for what says nothing."""
        what, _, value = shown.partition(":")
        if what == "certificate":
            source, key = Source.CERTIFICATE, (Kind.CERTIFICATE, value)
        elif what == "token":
            source, key = Source.TOKEN, (Kind.TOKEN, value)
        elif (named := _option(value)) is not None:
            source, key = Source.EDNS, named
        else:
            return None
        device = self.inventory.keys.get(key)
        found = Found(None, key) if device is None else Found(device)
        return _Evidence(source, _CONFIDENCE[source], found, 0)


def _rank(evidence: _Evidence) -> int:
    """Strongest first: the order of `Source`, in which Wi-Fi accounting is no weaker than a token."""
    return list(Source).index(evidence.source)


def _option(value: str) -> Key | None:
    """The identifier in an EDNS option, `CODE:HEX`: a MAC, or whatever text names the device there."""
    code, _, octets = value.partition(":")
    data = bytes.fromhex(octets)
    if code.isdecimal() and int(code) in _MAC_OPTIONS:
        mac = data.hex() if len(data) == 6 else mac_of(data.decode("ascii", "replace"))
        return None if mac is None else (Kind.MAC, mac)
    if code == "20292":
        device = _umbrella(data)
        return None if device is None else (Kind.EDNS, device)
    text = data.decode("utf-8", "replace").strip()
    return (Kind.EDNS, text) if text and text.isprintable() else None


def _umbrella(data: bytes) -> str | None:
    """The device id in an option of Umbrella's: `ODNS`, version 1, flags, then fields of a type and a fixed length."""
    at = 6
    while data.startswith(b"ODNS\x01") and at + 2 <= len(data):
        kind = int.from_bytes(data[at : at + 2])
        length = _UMBRELLA_FIELDS.get(kind)
        if length is None:
            return None
        value = data[at + 2 : at + 2 + length]
        if kind == 0x40:
            return value.hex() if len(value) == length else None
        at += 2 + length
    return None
