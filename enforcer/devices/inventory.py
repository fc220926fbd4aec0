"""The devices that the organisation owns, and what a network may know each of them by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from enforcer.devices.device import Binding, Device
from enforcer.devices.subject import Subject, is_randomised
from enforcer.errors import Mistake


class Kind(StrEnum):
    """What an identifier is."""

    IMEI = "imei"
    IMSI = "imsi"
    MSISDN = "msisdn"
    MAC = "mac"
    TOKEN = "token"  # noqa: S105  the word for it
    CERTIFICATE = "certificate"
    TUNNEL = "tunnel"
    EDNS = "edns"


type Key = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Found:
    """Whom identifiers name: a device, or one that is not in the inventory, by the identifier that told.

    moved_from: the device whose SIM is in another handset.
    """

    device: Device | None
    unlisted: Key | None = None
    moved_from: Device | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All devices, in the order of the file.

    keys: each identifier in normal form, and whose it is; one that two devices claim is nobody's, and not in it.
    bindings: static addresses. rejected: what of the file could not be used, by line.
    """

    devices: tuple[Device, ...] = ()
    keys: Mapping[Key, Device] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    rejected: tuple[Mistake, ...] = ()
    _kinds: Mapping[str, frozenset[Kind]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds: dict[str, set[Kind]] = {}
        for (kind, _), device in self.keys.items():
            kinds.setdefault(device.id, set()).add(kind)
        object.__setattr__(self, "_kinds", {device: frozenset(found) for device, found in kinds.items()})

    def get(self, kind: Kind, value: str) -> Device | None:
        """Whose identifier it is."""
        return self.keys.get((kind, value))

    def find(self, subject: Subject) -> Found | None:
        """Whom a session or lease is about; None when it says nothing of that.

        In this order: the handset, the SIM, the number. A SIM in another handset than its own does not make that one
        ours, and a number only names a device of which nothing better is known, since numbers are given out again.
        """
        if subject.tunnel is not None:
            return self._one(Kind.TUNNEL, subject.tunnel)
        if subject.imei is not None:
            return self._handset(subject, subject.imei)
        if subject.imsi is not None:
            device = self.get(Kind.IMSI, subject.imsi) or self._number(subject, unless=frozenset({Kind.IMSI}))
            return Found(device) if device is not None else Found(None, (Kind.IMSI, subject.imsi))
        if subject.msisdn is not None:
            return self._one(Kind.MSISDN, subject.msisdn)
        if subject.mac is not None:
            if is_randomised(subject.mac):
                return Found(None, (Kind.MAC, subject.mac))
            return self._one(Kind.MAC, subject.mac)
        return None

    def _one(self, kind: Kind, value: str) -> Found:
        device = self.get(kind, value)
        return Found(device) if device is not None else Found(None, (kind, value))

    def _handset(self, subject: Subject, imei: str) -> Found:
        own = self.get(Kind.IMEI, imei)
        sim = self.get(Kind.IMSI, subject.imsi) if subject.imsi is not None else None
        if own is not None:
            return Found(own, moved_from=sim if sim != own else None)
        if sim is not None:
            if Kind.IMEI in self._kinds[sim.id]:
                return Found(None, (Kind.IMEI, imei), moved_from=sim)
            return Found(sim)
        number = self._number(subject, unless=frozenset({Kind.IMEI, Kind.IMSI}))
        return Found(number) if number is not None else Found(None, (Kind.IMEI, imei))

    def _number(self, subject: Subject, unless: frozenset[Kind]) -> Device | None:
        """The device of the subject's number, unless something is known of it by which it would have been found."""
        device = None if subject.msisdn is None else self.get(Kind.MSISDN, subject.msisdn)
        return None if device is None or self._kinds[device.id] & unless else device
