"""The inventory file: which device has which identifiers and addresses, and which group it is in.

A file of one's own has the columns id, group, addresses and realm, and one for each kind of identifier; a mistake in
what says whose an address is refuses it, with every wrong line. An export of a device manager is longer than anybody
reads through: a line that cannot be used is left out and reported, and so is an identifier that two devices claim.
"""

import base64
import binascii
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from enforcer.config.identity import InventoryFile
from enforcer.config.model import Config
from enforcer.config.policy import Realm
from enforcer.config.values import instead, is_identifier, parse_network, quoted, short
from enforcer.devices.device import Binding, Device, Network, Source
from enforcer.devices.inventory import Inventory, Key, Kind
from enforcer.devices.subject import Numbering, has_check_digit, imei_of, imsi_of, mac_of, msisdn_of
from enforcer.errors import Mistake, Mistakes, Unavailable
from enforcer.identity.exports import (
    IDENTIFIERS,
    Row,
    csv_rows,
    group_name,
    is_export,
    is_private,
    json_rows,
    stable_id,
)

_COLUMNS = ("id", "group", "addresses", "realm", *IDENTIFIERS)
_NEEDED = _COLUMNS[:3]
_BETWEEN_ADDRESSES = re.compile(r"[\s;]+")
_SHORTEST_OWN_PREFIX = 48  # IPv6; a device with less would own a network, by mistake
_HEX_64 = re.compile(r"[0-9a-f]{64}")


def inventory_of(config: Config) -> Inventory:
    """The devices that a configuration names, with the tokens of its listeners; nobody without any.

    Raises Mistakes and Unavailable.
    """
    settings = config.identity.inventory
    tokens = [each.token_file for each in config.resolver.listeners if each.token_file is not None]
    if settings is not None:
        return read_inventory(settings.file, config.realms, numbering_of(settings), tokens)
    nobody = _Inventory({}, "", None)
    for path in tokens:
        nobody.tokens(str(path), _text(path, "token_file"))
    return nobody.finished()


def numbering_of(settings: InventoryFile) -> Numbering:
    """How phone numbers are written in the inventory."""
    return Numbering(settings.country_code, settings.trunk_prefix, settings.number_digits)


def read_inventory(
    path: Path, realms: Sequence[Realm], numbering: Numbering | None = None, tokens: Sequence[Path] = ()
) -> Inventory:
    """Read an inventory: CSV, or JSON when the name ends so.

    numbering: how phone numbers are written in it. tokens: files of token hashes, each with its device.
    Mistakes names every wrong line; Unavailable a file that cannot be opened.
    """
    text = _text(path, "identity.inventory.file")
    return parse_inventory(
        text, str(path), realms, numbering, tokens={str(each): _text(each, "token_file") for each in tokens}
    )


def _text(path: Path, key: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); mend {key}, or name another file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Mistakes([Mistake(str(path), line, "this is not UTF-8; save the file as CSV UTF-8")]) from error


def parse_inventory(
    text: str,
    file: str,
    realms: Sequence[Realm],
    numbering: Numbering | None = None,
    *,
    tokens: Mapping[str, str] | None = None,
) -> Inventory:
    """Read an inventory's text.

    One's own has a header with id, group, addresses and perhaps realm and identifiers, then a device a line. Spaces or
    semicolons part addresses, semicolons identifiers. A line without an id gives its networks to the group alone. A
    line without a realm is in the only realm there is. Empty lines, and lines that begin with #, are left out.
    file: the name for mistakes; Mistakes names every one. tokens: the text of token files, by name.
    """
    inventory = _Inventory({realm.name: realm for realm in realms}, file, numbering)
    if file.endswith(".json"):
        inventory.export(json_rows, text)
    elif is_export(_header_of(text)):
        inventory.export(csv_rows, text)
    else:
        inventory.read_all(text)
    if inventory.mistakes:
        raise Mistakes(Mistake(file, number, what) for number, what in inventory.mistakes)
    for name, hashes in (tokens or {}).items():
        inventory.tokens(name, hashes)
    return inventory.finished()


def _header_of(text: str) -> list[str]:
    lines = (line for line in StringIO(text) if line.strip(" \t\r\n,") and not line.lstrip().startswith("#"))
    try:
        return next(csv.reader([next(lines, "")], skipinitialspace=True), [])
    except csv.Error:
        return []


@dataclass(slots=True)
class _Inventory:
    """What is known after some of the lines. header: the columns; None before it, empty where it is wrong."""

    realms: dict[str, Realm]
    file: str
    numbering: Numbering | None
    line: int = 1
    header: list[str] | None = None
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    bindings: dict[tuple[str, Network], Binding] = field(default_factory=dict)
    bound_on: dict[tuple[str, Network], int] = field(default_factory=dict)
    groups: dict[str, tuple[str, int]] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    keys: dict[Key, tuple[Device, int]] = field(default_factory=dict)
    shared: dict[Key, list[int]] = field(default_factory=dict)
    rejected: list[Mistake] = field(default_factory=list)

    def refuse(self, what: str) -> None:
        """The whole file cannot be used."""
        self.mistakes.append((self.line, what))

    def reject(self, what: str) -> None:
        """The line cannot be used."""
        self.rejected.append(Mistake(self.file, self.line, what))

    def read_all(self, text: str) -> None:
        """Read a file of one's own."""
        for number, line in enumerate(StringIO(text, newline=None), start=1):
            self.line = number
            self.read(line)
        if self.header is None:
            self.refuse(f"there is no header; write {quoted(','.join(_NEEDED))}")

    def export(self, rows: Callable[[str], Iterator[Row]], text: str) -> None:
        """Read an export; when no line of it can be used, the file is refused."""
        try:
            for self.line, row in rows(text):
                self._exported(row)
        except ValueError as error:
            self.refuse(str(error))
        if not self.devices and not self.mistakes:
            first = f": {self.rejected[0].what}" if self.rejected else ""
            self.refuse(f"no device in it can be used{first}")

    def tokens(self, file: str, text: str) -> None:
        """Take in whose tokens there are; a mistake in such a file is the listener's to refuse."""
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if len(words) == 2 and is_identifier(words[0]) and _HEX_64.fullmatch(words[1]):
                device = self.devices.get(words[0], Device(words[0], None))
                self.file, self.line = file, number
                self._claim(device, [(Kind.TOKEN, words[1])])

    def finished(self) -> Inventory:
        """What was read, without what two devices claim."""
        for key, lines in self.shared.items():
            first = self.keys.pop(key)[1]
            kind = key[0].value
            self.rejected += [
                Mistake(self.file, line, f"this {kind} stands on line {other} too; it names neither device")
                for line, other in [(first, lines[0]), *((line, first) for line in lines)]
            ]
        return Inventory(
            tuple(self.devices.values()),
            {key: device for key, (device, _) in self.keys.items()},
            tuple(self.bindings.values()),
            tuple(sorted(self.rejected, key=lambda mistake: mistake.line or 0)),
        )

    def _exported(self, row: dict[str, str]) -> None:
        if is_private(row):
            self.reject("its owner is its user; leave private devices out")
            return
        name = stable_id(row)
        if not is_identifier(name):
            self.reject("no id, UDID or serial number; export one of them too")
            return
        keys = self._keys(row)
        if keys is None:
            return
        if not keys:
            self.reject("neither IMEI, IMSI, number nor MAC; no network could know it")
            return
        if name in self.devices:
            self.reject(f"{quoted(name)} stands on an earlier line; leave one out")
            return
        device = self.devices.setdefault(name, Device(name, group_name(row.get("group", "")) or None))
        self._claim(device, keys)

    def _claim(self, device: Device, keys: Sequence[Key]) -> None:
        for key in keys:
            first, line = self.keys.setdefault(key, (device, self.line))
            if first.id != device.id and line != self.line:
                self.shared.setdefault(key, []).append(self.line)

    def _keys(self, row: Mapping[str, str]) -> list[Key] | None:
        """The identifiers on a line; None, and the line is rejected, when one of them cannot be right."""
        found: list[Key] = []
        for column in IDENTIFIERS:
            for text in filter(None, (piece.strip() for piece in row.get(column, "").split(";"))):
                key = self._key(column, text)
                if key is None:
                    return None
                found.append(key)
        return found

    def _key(self, column: str, text: str) -> Key | None:
        value, instead_ = None, ""
        match column:
            case "imei":
                value, instead_ = _imei(text), "15 digits, in a cell formatted as text"
            case "imsi":
                value, instead_ = imsi_of(text), "6 to 15 digits"
            case "msisdn":
                value, instead_ = msisdn_of(text, self.numbering), "a phone number, best with + and its country's code"
            case "mac":
                value, instead_ = mac_of(text), "12 hexadecimal digits"
            case "token" | "certificate":
                folded = text.casefold().replace(":", "")
                value = folded if _HEX_64.fullmatch(folded) else None
                instead_ = "a SHA-256, 64 hexadecimal digits"
            case "wireguard":
                value, instead_ = _public_key(text), "a public key, 44 characters of base64"
            case _:
                value, instead_ = (text if text.isprintable() and len(text) <= 255 else None), "printable text"
        if value is None:
            self.reject(f"its {column} cannot be right; write {instead_}")  # which is not quoted: it may be personal
            return None
        return _KINDS[column], value

    def read(self, line: str) -> None:
        """Read the next line."""
        if line.lstrip().startswith("#") or not line.strip(" \t\n,"):
            return
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], strict=True, skipinitialspace=True))]
        except csv.Error as error:
            self.refuse(f"this is not CSV ({error}); write double quotes in pairs, around whole cells")
            return
        if self.header is None:
            self.header = self._header(cells)
        elif self.header:
            self._row(self.header, cells)

    def _header(self, cells: list[str]) -> list[str]:
        if ";" in cells[0]:  # as spreadsheets save it where numbers have a decimal comma
            self.refuse(f"semicolons between the columns; part them by commas, as in {quoted(','.join(_NEEDED))}")
            return []
        names = [cell.casefold() for cell in cells]
        before = len(self.mistakes)
        for i, name in enumerate(names):
            if name not in _COLUMNS:
                self.refuse(f"{quoted(cells[i])} is not a column; {instead(name, _COLUMNS)}")
            elif name in names[:i]:
                self.refuse(f"column {quoted(name)} stands here twice; leave one out")
        for name in _NEEDED[: 2 if set(names) & set(IDENTIFIERS) else 3]:
            if name not in names:
                self.refuse(f"column {quoted(name)} is missing; write {quoted(','.join(_NEEDED))}")
        return names if len(self.mistakes) == before else []

    def _row(self, header: list[str], cells: list[str]) -> None:
        if any(cells[len(header) :]):
            self.refuse(f"{len(cells)} cells, and {len(header)} columns; part addresses by spaces or semicolons")
            return
        row = dict.fromkeys(_COLUMNS, "") | dict(zip(header, cells, strict=False))
        device, group = self._name(row["id"]), self._name(row["group"])
        if not row["id"] and not row["group"]:
            self.refuse("neither id nor group; write whose the addresses are")
        if device is not None:
            first, line = self.groups.setdefault(device, (row["group"], self.line))
            if first != row["group"]:
                self.refuse(f"{quoted(device)} is in group {quoted(first)} on line {line}; write one group for one id")
        keys = self._keys(row)
        if keys is None:
            return
        addresses = [text for text in _BETWEEN_ADDRESSES.split(row["addresses"]) if text]
        if keys and not row["id"]:
            self.refuse("identifiers without an id; write whose they are")
        may_lack = device is not None and not set(header).isdisjoint(IDENTIFIERS)  # a token file may know it
        if not addresses and not keys and not may_lack:
            self.refuse('no address; write one, as in "10.20.0.5"')
        if device is not None:
            self._claim(self.devices.setdefault(device, Device(device, group)), keys)
        if not addresses and (keys or may_lack):
            return
        realm = self._realm(row["realm"])
        for text in addresses:
            network = self._network(text, device, realm)
            if network is not None and realm is not None:
                self._bind(Binding(realm.name, network, device, group, Source.NETWORK))

    def _name(self, text: str) -> str | None:
        """An id or a group; None where there is none, or it is no name."""
        if not text or is_identifier(text):
            return text or None
        self.refuse(f"{quoted(text)} is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ -")
        return None

    def _realm(self, name: str) -> Realm | None:
        if not name and len(self.realms) == 1:
            return next(iter(self.realms.values()))
        if name not in self.realms:
            wrong = f"{quoted(name)} is not a realm" if name else "no realm, and there are several"
            self.refuse(f"{wrong}; {instead(name, self.realms)}")
        return self.realms.get(name)

    def _network(self, text: str, device: str | None, realm: Realm | None) -> Network | None:
        try:
            network = parse_network(text)
        except ValueError as error:
            self.refuse(str(error))
            return None
        shortest = _SHORTEST_OWN_PREFIX if network.version == 6 else network.max_prefixlen
        if device is not None and network.prefixlen < shortest:
            self.refuse(f'"{network}" is more than one device has; write its addresses, or leave the id empty')
            return None
        if realm is not None and realm.networks and not any(_holds(whole, network) for whole in realm.networks):
            within = ", ".join(short(whole) for whole in realm.networks)
            self.refuse(f'"{short(network)}" is outside of realm {quoted(realm.name)}; write an address in {within}')
            return None
        return network

    def _bind(self, binding: Binding) -> None:
        key = (binding.realm, binding.network)
        first, line = self.bindings.setdefault(key, binding), self.bound_on.setdefault(key, self.line)
        if (first.device, first.group) != (binding.device, binding.group):
            self.refuse(
                f'"{short(binding.network)}" is an address of "{first.device or first.group}" on line {line}; '
                "leave it out on one of the lines"
            )


def _imei(text: str) -> str | None:
    """The first 14 digits; None also where the last of 15 shows that one is wrong."""
    imei = imei_of(text)
    digits = re.sub(r"[ -]", "", text.strip())
    return None if imei is None or (len(digits) == 15 and not has_check_digit(digits)) else imei


def _public_key(text: str) -> str | None:
    try:
        return text if len(base64.b64decode(text, validate=True)) == 32 else None
    except (binascii.Error, ValueError):
        return None


_KINDS = {
    "imei": Kind.IMEI,
    "imsi": Kind.IMSI,
    "msisdn": Kind.MSISDN,
    "mac": Kind.MAC,
    "token": Kind.TOKEN,
    "certificate": Kind.CERTIFICATE,
    "wireguard": Kind.TUNNEL,
    "edns": Kind.EDNS,
}


def _holds(whole: Network, part: Network) -> bool:
    return whole.prefixlen <= part.prefixlen and part.network_address in whole
