"""A gateway as tests need one: accounting packets of a phone, and a hub's means that take them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from enforcer.config.identity import Identity
from enforcer.devices.inventory import Inventory
from enforcer.identity.inventory import parse_inventory
from enforcer.wire.radius import Code, request, vendor
from tests.hub.desk import Desk
from tests.records import NOON_MS

SECRET = b"testing-secret-32-bytes-minimum!"
START, STOP, INTERIM, ON = 1, 2, 3, 7
NOON_S = NOON_MS // 1000
IMEI, IMSI = "001015012345671", "001010123456789"


def accounting(
    status: int,
    session: str = "s1",
    *,
    number: int = 1,
    address: str = "192.0.2.7",
    at_s: int = NOON_S,
    imsi: str = IMSI,
    imei: str | None = None,
    more: tuple[tuple[int, bytes], ...] = (),
    secret: bytes = SECRET,
) -> bytes:
    """One Accounting-Request of pgw1."""
    attributes = [
        (40, status.to_bytes(4)),
        (44, session.encode()),
        (32, b"pgw1"),
        (8, IPv4Address(address).packed),
        (55, at_s.to_bytes(4)),
        vendor(1, imsi.encode()),
        *(() if imei is None else (vendor(20, imei.encode()),)),
        *more,
    ]
    return request(Code.ACCOUNTING_REQUEST, number, attributes, secret)


@dataclass
class Bench:
    """A hub's means with settings of identity and an inventory of the realm `lab`."""

    folder: Path
    identity: Mapping[str, object] = field(default_factory=dict)
    devices: str = f"id,group,imei,imsi\ndev-1,field,{IMEI},{IMSI}\ndev-2,field,001015012345689,001010123456780\n"
    acknowledged: bool = True

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.desk = Desk(self.folder)
        (self.folder / "secret").write_bytes(SECRET)
        notice = self.desk.config.policy.notice.model_copy(update={"monitoring_notice_acknowledged": self.acknowledged})
        policy = self.desk.config.policy.model_copy(update={"notice": notice})
        made = {"identity": Identity.model_validate(self.identity), "policy": policy}
        self.config = self.desk.config.model_copy(update=made)
        object.__setattr__(self.desk.means, "config", self.config)
        self.means = self.desk.means
        self.registry = self.desk.registry
        self.registry.use(self.inventory())

    def inventory(self) -> Inventory:
        return parse_inventory(self.devices, "devices.csv", self.config.realms)

    def events(self, kind: str) -> list[dict[str, object]]:
        """The details of all events of a kind in the log."""
        return self.desk.events(kind)
