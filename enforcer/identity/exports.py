"""What a device manager exports, as rows in our own words: Intune, Jamf, Workspace ONE, and what resembles them.

Columns are found by their names, whatever the case, spaces and underscores; never by position. Columns that are not
named here, such as people's names and addresses, are not even looked at.
"""

import csv
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from io import StringIO

IDENTIFIERS = ("imei", "imsi", "msisdn", "mac", "token", "certificate", "wireguard", "edns")

# Our column, and the names that exports have for it: letters and digits alone, in lower case. The first match counts.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "deviceid", "deviceuuid", "mobiledeviceid", "computerid", "uuid"),
    "hardware": ("udid", "deviceudid", "serialnumber", "serial", "deviceserialnumber"),
    "group": (
        "group",
        "department",
        "organizationgroup",
        "organizationgroupname",
        "locationgroupname",
        "devicecategory",
    ),
    "ownership": ("ownership", "ownertype", "manageddeviceownertype", "deviceownership"),
    "imei": ("imei", "imei1", "imei2", "imeis", "secondimei", "imeinumber"),
    "imsi": ("imsi", "currentimsi", "subscriberid"),
    "msisdn": ("msisdn", "phonenumber", "phone", "subscriberphonenumber"),
    "mac": ("mac", "macaddress", "wifimacaddress", "wifimac", "ethernetmacaddress", "ethernetmac"),
    "token": ("token", "tokensha256"),
    "certificate": ("certificate", "certificatesha256"),
    "wireguard": ("wireguard", "wireguardkey", "wireguardpublickey"),
    "edns": ("edns", "cpeid"),
}
_COLUMN_OF = {alias: column for column, aliases in _ALIASES.items() for alias in aliases}
_FOREIGN = frozenset((*(alias for column in ("hardware", "ownership") for alias in _ALIASES[column]), "deviceid"))
_LISTS = ("value", "results", "devices", "mobile_devices", "mobileDevices", "computers")
_NOTHING = frozenset(("", "-", "--", "n/a", "na", "none", "null", "unknown", "not available", "not applicable"))
_PRIVATE = frozenset(("personal", "employee", "employee owned", "employeeowned", "e", "byod"))
_BETWEEN = re.compile(r"[,;/|\n]+")

type Row = tuple[int, dict[str, str]]
"""The line of a CSV file, or the number of a JSON object, from 1; and its cells by our columns, several by `;`."""


def is_export(header: Sequence[str]) -> bool:
    """Whether a header is of an export: it has identifiers or hardware, and columns that none of our own files has."""
    folded = {_folded(cell) for cell in header}
    if folded & {"addresses", "realm"}:
        return False
    foreign = folded - {*IDENTIFIERS, "id", "group"}
    return bool(foreign) and any(name in _FOREIGN or _COLUMN_OF.get(name) in IDENTIFIERS for name in folded)


def csv_rows(text: str) -> Iterator[Row]:
    """The rows of a CSV export. Raises ValueError for what is no CSV."""
    try:
        reader = csv.reader(StringIO(text), skipinitialspace=True)
        header = next((row for row in reader if any(row)), [])
        columns = [_folded(cell) for cell in header]
        for cells in reader:
            if any(cells):
                yield reader.line_num, _row(list(zip(columns, cells, strict=False)))
    except csv.Error as error:
        raise ValueError(f"this is not CSV ({error}); export it again") from error


def json_rows(text: str) -> Iterator[Row]:
    """The devices of a JSON export: a list of objects, or an object with one. Raises ValueError for anything else."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is not JSON ({error}); export it again") from error
    if isinstance(found, dict):
        found = next((found[key] for key in _LISTS if isinstance(found.get(key), list)), None)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError('no list of devices; write one, or an object with one under "value", "results" or "devices"')
    for number, device in enumerate(found, start=1):
        yield number, _row(list(_leaves(device)))


def is_private(row: Mapping[str, str]) -> bool:
    """Whether a device is its user's own, which is none of ours to watch."""
    return row.get("ownership", "").casefold() in _PRIVATE


def stable_id(row: Mapping[str, str]) -> str:
    """The id of a device: the manager's own, else one made of what the hardware says, which it does not show."""
    if row.get("id"):
        return row["id"]
    hardware = row.get("hardware", "").partition(";")[0]
    return f"dev-{sha256(hardware.casefold().encode()).hexdigest()[:16]}" if hardware else ""


def group_name(text: str) -> str:
    """A department as the name of a group: letters without accents, digits, and hyphens for all between."""
    plain = unicodedata.normalize("NFKD", text.partition(";")[0]).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-")[:64]


def _row(cells: Sequence[tuple[str, str]]) -> dict[str, str]:
    row: dict[str, list[str]] = {}
    for name, text in cells:
        column = _COLUMN_OF.get(name)
        if column is not None:
            several = column in IDENTIFIERS and text.strip().casefold() not in _NOTHING
            pieces = [piece.strip() for piece in (_BETWEEN.split(text) if several else [text])]
            row.setdefault(column, []).extend(piece for piece in pieces if piece.casefold() not in _NOTHING)
    return {column: ";".join(dict.fromkeys(pieces)) for column, pieces in row.items()}


def _leaves(value: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Names and values of an object, and of the objects in it."""
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each)
        elif isinstance(each, list):
            yield _folded(key), ";".join(str(item) for item in each if isinstance(item, str | int))
        elif isinstance(each, str | int) and not isinstance(each, bool):
            yield _folded(key), str(each)


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
