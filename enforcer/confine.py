"""A process that gives up, for itself and all that it starts, what is in some folders: Landlock, landlock(7).

So a worker that has been taken over by what it read from the network can read neither the key that signs the log, nor
the log, nor who holds which address, although it runs as the same user as the hub. Landlock names what is allowed, so
everything beside the folders is named: each entry of every folder on the way to them. What appears in these folders
later cannot be reached either, which is why files that are replaced while the process runs must not lie there.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from enforcer.errors import Unavailable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS

_WRITE_FILE, _READ_FILE, _TRUNCATE = 1 << 1, 1 << 2, 1 << 14
_READ_DIR = 1 << 3
_CHANGE_DIR = 0x3FF << 4  # remove and make entries of any kind, and move them between folders
_ABI_REFER, _ABI_TRUNCATE = 2, 3


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


def keep_out(
    folders: Iterable[Path],
    replaced: Iterable[Path] = (),
    *,
    read_only: Iterable[Path] = (),
    but: Iterable[Path] = (),
) -> None:
    """Make this thread, and every thread and process that it starts, unable to read or change what is in the folders.

    It cannot be undone. read_only: folders that can be read and not changed, but for `but`, what lies in them and may.
    replaced: files that are made, or read again when somebody puts others in their place. Raises Unavailable where the
    kernel has no Landlock, and where such a file lies on the way to a folder: then nothing has changed.
    """
    hidden = [folder.resolve() for folder in folders]
    fixed = [folder.resolve() for folder in read_only]
    way = {parent for folder in (*hidden, *fixed) for parent in folder.parents}
    for path in replaced:
        if path.resolve().parent in way:
            raise Unavailable(f"{path}: lies beside the data; put it into a folder of its own")
    abi = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if abi < _ABI_REFER:
        raise Unavailable("this kernel has no Landlock, or one that is too old")
    on_file = _READ_FILE | _WRITE_FILE | (_TRUNCATE if abi >= _ABI_TRUNCATE else 0)
    every = on_file | _READ_DIR | _CHANGE_DIR
    attribute = _Ruleset(every)
    ruleset = _called(_CREATE_RULESET, ctypes.byref(attribute), ctypes.sizeof(attribute), 0)
    try:
        for parent in way:
            for entry in os.scandir(parent):
                path = Path(entry.path)
                if path not in way and path not in hidden:
                    _allow(ruleset, path, _READ_FILE | _READ_DIR if path in fixed else every, on_file)
        for path in but:
            _allow(ruleset, path.resolve(), every, on_file)
        if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise Unavailable(f"the kernel refuses ({os.strerror(ctypes.get_errno())})")
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int, on_file: int) -> None:
    """Rights at a path and beneath. A link is passed over: what it leads to has a place of its own."""
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or not ours to see
        return
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind != stat.S_IFLNK:
            rule = _Beneath(rights if kind == stat.S_IFDIR else rights & on_file, fd)
            _called(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(fd)


def _called(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise Unavailable(f"the kernel refuses ({os.strerror(ctypes.get_errno())})")
    return int(result)
