"""A process that gives up what it may do beyond any user's rights: capabilities(7)."""

import ctypes
import os
from collections.abc import Iterable
from enum import IntEnum

from enforcer.errors import Unavailable

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 capabilities
_DROP_FROM_BOUNDING_SET = 24  # PR_CAPBSET_DROP
_LAST = 63


class Capability(IntEnum):
    """The capabilities that any part of Enforcer needs, by their numbers in the kernel."""

    DAC_OVERRIDE = 1
    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    NET_RAW = 13


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


def keep_only(wanted: Iterable[Capability]) -> None:
    """Give up every other capability, for this thread and every thread and program that it starts; none is gained.

    A process of root keeps its right to files of other owners, which whoever runs everything as root counts on. Raises
    Unavailable when the kernel refuses.
    """
    kept = {*wanted, Capability.DAC_OVERRIDE} if os.geteuid() == 0 else set(wanted)
    for number in range(_LAST + 1):
        if number not in kept:
            _libc.prctl(_DROP_FROM_BOUNDING_SET, number, 0, 0, 0)  # refused to who is not root, and has no need of it
    header, words = _Header(_VERSION, 0), (_Word * 2)()
    _called(_libc.capget(ctypes.byref(header), words))
    for index, word in enumerate(words):
        mask = sum(1 << capability - 32 * index for capability in kept if capability // 32 == index)
        word.effective &= mask
        word.permitted &= mask
        word.inheritable &= mask
    _called(_libc.capset(ctypes.byref(header), words))


def _called(result: int) -> None:
    if result:
        raise Unavailable(f"capabilities cannot be given up ({os.strerror(ctypes.get_errno())})")
