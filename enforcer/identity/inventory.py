"""devices.csv: which device, or which group, has which addresses."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from enforcer.config.policy import Realm
from enforcer.config.values import instead, is_identifier, parse_network, quoted, short
from enforcer.devices.device import Binding, Network, Source
from enforcer.errors import Mistake, Mistakes, Unavailable

_COLUMNS = ("id", "group", "addresses", "realm")
_NEEDED = _COLUMNS[:3]
_BETWEEN_ADDRESSES = re.compile(r"[\s;]+")
_SHORTEST_OWN_PREFIX = 48  # IPv6; a device with less would own a network, by mistake


def read_inventory(path: Path, realms: Sequence[Realm]) -> tuple[Binding, ...]:
    """Read an inventory. Mistakes names every wrong line; Unavailable a file that cannot be opened."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); mend identity.inventory.file") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Mistakes([Mistake(str(path), line, "this is not UTF-8; save the file as CSV UTF-8")]) from error
    return parse_inventory(text, str(path), realms)


def parse_inventory(text: str, file: str, realms: Sequence[Realm]) -> tuple[Binding, ...]:
    """Read an inventory's text: a header with id, group, addresses and perhaps realm, then a device a line.

    Spaces or semicolons part addresses. A line without an id gives its networks to the group alone. A line without a
    realm is in the only realm there is. Empty lines, and lines that begin with #, are left out.
    file: the name for mistakes; Mistakes names every one.
    """
    inventory = _Inventory({realm.name: realm for realm in realms})
    for number, line in enumerate(StringIO(text, newline=None), start=1):
        inventory.line = number
        inventory.read(line)
    if inventory.header is None:
        inventory.refuse(f"there is no header; write {quoted(','.join(_NEEDED))}")
    if inventory.mistakes:
        raise Mistakes(Mistake(file, number, what) for number, what in inventory.mistakes)
    return tuple(inventory.bindings.values())


@dataclass(slots=True)
class _Inventory:
    """What is known after some of the lines. header: the columns; None before it, empty where it is wrong."""

    realms: dict[str, Realm]
    line: int = 1
    header: list[str] | None = None
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    bindings: dict[tuple[str, Network], Binding] = field(default_factory=dict)
    bound_on: dict[tuple[str, Network], int] = field(default_factory=dict)
    groups: dict[str, tuple[str, int]] = field(default_factory=dict)

    def refuse(self, what: str) -> None:
        self.mistakes.append((self.line, what))

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
        for name in _NEEDED:
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
        realm = self._realm(row["realm"])
        addresses = [text for text in _BETWEEN_ADDRESSES.split(row["addresses"]) if text]
        if not addresses:
            self.refuse('no address; write one, as in "10.20.0.5"')
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


def _holds(whole: Network, part: Network) -> bool:
    return whole.prefixlen <= part.prefixlen and part.network_address in whole
