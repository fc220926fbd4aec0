"""What a network knows a device by: IMEI, IMSI, number, MAC; each in one normal form, or not at all.

The networks write one handset in many ways: an IMEI with a check digit (15), an IMEISV with a software version (16),
either without (14). The first 14 digits are what they share, so these are what is compared (TS 23.003 §6.2).
"""

import re
from dataclasses import dataclass

_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}([-:]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"
)
_BARE_MAC = re.compile(r"[0-9A-Fa-f]{12}")
_DIGITS = re.compile(r"[0-9]+")
_BETWEEN_DIGITS = re.compile(r"[\s().-]+")


@dataclass(frozen=True, slots=True)
class Subject:
    """What one session or lease says of its device, in normal form; None where it says nothing.

    imei: 14 digits. imsi: 6 to 15 digits. msisdn: E.164 digits without `+`. mac: 12 lower-case hexadecimal digits.
    tunnel: the public key of a tunnel's peer.
    """

    imei: str | None = None
    imsi: str | None = None
    msisdn: str | None = None
    mac: str | None = None
    tunnel: str | None = None

    @property
    def is_mobile(self) -> bool:
        """Whether a mobile core speaks of it, which knows the SIM or the handset."""
        return self.imei is not None or self.imsi is not None

    def __bool__(self) -> bool:
        return self != NOTHING


NOTHING = Subject()


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a country writes its numbers at home: code `1`, trunk prefix `1` and 10 digits in Canada."""

    code: str | None = None
    trunk: str = "0"
    digits: int | None = None


def imei_of(text: str) -> str | None:
    """The first 14 digits of an IMEI or IMEISV of 14 to 16 digits; None for a placeholder, or what is neither."""
    digits = text.strip().replace("-", "").replace(" ", "")
    if not 14 <= len(digits) <= 16 or not digits.isascii() or not digits.isdigit():
        return None
    if digits.startswith("00000000") or len(set(digits[:14])) == 1:
        return None
    return digits[:14]


def has_check_digit(imei: str) -> bool:
    """Whether the last of 15 digits is the Luhn check digit of the others (TS 23.003 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(imei)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def imsi_of(text: str) -> str | None:
    """6 to 15 digits, or None."""
    digits = text.strip()
    return digits if 6 <= len(digits) <= 15 and digits.isascii() and digits.isdigit() else None


def msisdn_of(text: str, numbering: Numbering | None = None) -> str | None:
    """A number in E.164 without `+`, or None for what is no number.

    numbering: how to read what is written without a country's code; None: every number has one.
    """
    digits = _BETWEEN_DIGITS.sub("", text.strip())
    international = digits.startswith(("+", "00"))
    digits = digits.removeprefix("+").removeprefix("00") if international else digits
    if _DIGITS.fullmatch(digits) is None:
        return None
    if not international and numbering is not None and numbering.code is not None:
        if len(digits) == numbering.digits:
            digits = numbering.code + digits
        elif numbering.trunk and digits.startswith(numbering.trunk):
            digits = numbering.code + digits.removeprefix(numbering.trunk)
    return digits if 7 <= len(digits) <= 15 else None


def mac_of(text: str, *, bare: bool = True) -> str | None:
    """12 lower-case hexadecimal digits, or None. bare: take them without separators too."""
    text = text.strip()
    if _MAC.fullmatch(text) is None and not (bare and _BARE_MAC.fullmatch(text)):
        return None
    mac = re.sub(r"[-:.]", "", text).lower()
    return None if mac in ("0" * 12, "f" * 12) else mac


def is_randomised(mac: str) -> bool:
    """Whether a MAC is locally administered: chosen by the device for this network, so that no inventory has it."""
    return bool(int(mac[:2], 16) & 2)
