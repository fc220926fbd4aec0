"""Settings of identity: how an address becomes a device."""

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from enforcer.config.fields import AnyPath, Domain, File, Identifier, Listen, Within, choice
from enforcer.config.section import Section
from enforcer.config.values import quoted


class Calling(StrEnum):
    """What a gateway writes into Calling-Station-Id; auto finds out by its form."""

    AUTO = "auto"
    MSISDN = "msisdn"
    IMSI = "imsi"
    MAC = "mac"
    IGNORE = "ignore"


class Proof(StrEnum):
    """Whether an Accounting-Request must have a Message-Authenticator. One that is there must always be right."""

    AUTO = "auto"
    ALWAYS = "always"


class LeaseFormat(StrEnum):
    """How a DHCP server tells its leases."""

    DNSMASQ = "dnsmasq"
    KEA = "kea"
    KEA_SOCKET = "kea-socket"


def _redis(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss", "unix") or (parts.scheme != "unix" and not parts.hostname):
        raise ValueError(f"{quoted(parts.scheme)} is not where a Redis is; write one, as in redis://192.0.2.5:6379/0")
    if parts.password:
        raise ValueError("a password stands in it; write it into a file, and shared_password_file: FILE")
    return text


def _digits(text: str) -> str:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise ValueError(f'{quoted(text)} is not a code; write 1 to 4 digits, as in "1"')
    return text


Redis = Annotated[str, AfterValidator(_redis)]
Digits = Annotated[str, AfterValidator(_digits)]


class InventoryFile(Section):
    """The devices, in a file of one's own keeping or as a device manager exports it."""

    file: File = Field(
        description="A CSV file with the columns id, group, addresses, realm, and imei, imsi, msisdn, mac, token, "
        "certificate, wireguard, edns as needed; or an export of Intune, Jamf or Workspace ONE, CSV or JSON. "
        "Read again when it changes.",
        examples=["devices.csv"],
    )
    country_code: Digits | None = Field(None, description="The country of numbers without one.", examples=["1"])
    trunk_prefix: Digits = Field("0", description="What numbers begin with at home, in place of the country's code.")
    number_digits: int | None = Field(
        None, ge=5, le=15, description="How many digits a number without any prefix has.", examples=[10]
    )


class RadiusClient(Section):
    """A gateway, or a relay, that sends accounting."""

    name: Domain | None = Field(
        None, description="Over TLS: the name in its certificate (subject alternative name).", examples=["pgw1.example"]
    )
    network: Within | None = Field(None, description="Over UDP: its address, or the network of several.")
    secret_file: AnyPath | None = Field(
        None, description="Over UDP: a file with the secret that it shares with us, 16 characters or more, by chance."
    )
    calling_station: Annotated[Calling, choice(Calling)] = Field(
        Calling.AUTO, description="What it writes into Calling-Station-Id; auto finds out by its form."
    )

    @model_validator(mode="after")
    def _is_known_somehow(self) -> Self:
        if self.name is None and self.network is None:
            raise ValueError('a client is known by its address or its certificate; write "network" or "name"')
        if (self.network is None) != (self.secret_file is None):
            raise ValueError("a secret goes with an address: write both network and secret_file, or neither")
        return self


class Radius(Section):
    """Accounting that gateways of one realm send: who has got which address."""

    realm: Identifier = Field(description="The realm whose addresses it tells of.", examples=["apn-gov"])
    listen: Listen | None = Field(None, description="Address and port for UDP.", examples=["192.0.2.53:1813"])
    tls: Listen | None = Field(None, description="Address and port for RadSec, over TLS.", examples=["192.0.2.53:2083"])
    certificate: File | None = Field(None, description="With tls: our certificate chain, PEM.")
    key: File | None = Field(None, description="With tls: its key, PEM.")
    client_ca: File | None = Field(None, description="With tls: who signs the gateways' certificates, PEM.")
    clients: tuple[RadiusClient, ...] = Field(
        min_length=1,
        description="Who may send it; all others are not answered.",
        examples=[[{"network": "192.0.2.10", "secret_file": "pgw.secret"}]],
    )
    message_authenticator: Annotated[Proof, choice(Proof)] = Field(
        Proof.AUTO, description="auto verifies a Message-Authenticator where there is one; always wants one."
    )

    @model_validator(mode="after")
    def _listens(self) -> Self:
        if self.listen is None and self.tls is None:
            raise ValueError('it listens nowhere; write "listen" or "tls", each with an address and a port')
        if self.listen is not None and not any(client.network for client in self.clients):
            raise ValueError("nobody may send over UDP; write network and secret_file of a client, or leave listen out")
        if self.tls is not None and None in (self.certificate, self.key, self.client_ca):
            raise ValueError('TLS needs "certificate", "key" and "client_ca"; write all three')
        if self.tls is not None and not any(client.name for client in self.clients):
            raise ValueError("nobody may send over TLS; write the name of a client, or leave tls out")
        return self


class Leases(Section):
    """A DHCP server's leases."""

    realm: Identifier = Field(description="The realm whose addresses it gives out.", examples=["wifi"])
    format: Annotated[LeaseFormat, choice(LeaseFormat)] = Field(
        LeaseFormat.DNSMASQ,
        description="dnsmasq: its lease file; kea: its memfile (CSV), of DHCPv4 or DHCPv6; kea-socket: its control "
        "socket.",
    )
    path: AnyPath = Field(description="The file, or the socket.", examples=["/var/lib/misc/dnsmasq.leases"])


class Neighbours(Section):
    """This machine's neighbour table (ARP, NDP): for devices on its own links."""

    realm: Identifier = Field(description="The realm on these links.", examples=["wifi"])
    interfaces: tuple[Identifier, ...] = Field(min_length=1, description="The interfaces.", examples=[["wlan0"]])


class Tunnels(Section):
    """The peers of a WireGuard interface of this machine."""

    realm: Identifier = Field(description="The realm of its addresses.", examples=["vpn"])
    interface: Identifier = Field(description="The interface.", examples=["wg0"])


class Identity(Section):
    """How an address becomes a device."""

    inventory: InventoryFile | None = Field(None, description="The devices; without it every device is unknown.")
    radius: tuple[Radius, ...] = Field(
        (), description="Accounting of mobile and Wi-Fi gateways. A change needs a restart."
    )
    leases: tuple[Leases, ...] = Field((), description="DHCP leases. A change needs a restart.")
    neighbours: tuple[Neighbours, ...] = Field((), description="Neighbour tables. A change needs a restart.")
    tunnels: tuple[Tunnels, ...] = Field((), description="WireGuard peers. A change needs a restart.")
    shared: Redis | None = Field(
        None,
        description="A Redis in which gateways tell each other of sessions, for those that get no accounting. A change "
        "needs a restart.",
        examples=["redis://192.0.2.5:6379/0"],
    )
    shared_password_file: File | None = Field(None, description="A file with the password of that Redis.")
    wait_s: float = Field(
        5.0,
        ge=0,
        le=60,
        description="Seconds for which the record of an attempt waits for its device, where accounting can be slower "
        "than DNS. The client does not wait.",
    )
    settle_s: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Seconds for which it waits even though the address has an owner: another may just have got it.",
    )
    silent_days: int = Field(
        7,
        ge=1,
        le=3650,
        description="A device that no session, lease or tunnel shows for so many days is called silent.",
    )
    sessions_max: int = Field(
        400_000, ge=1000, le=10_000_000, description="Sessions that are kept: four times those expected."
    )
    expire_h: float = Field(
        24, ge=1, le=24 * 31, description="Hours until a session ends that no gateway confirms or stops."
    )
    history_h: float = Field(
        24, ge=1, le=24 * 31, description="Hours for which it is kept who had an address, for late attribution."
    )
