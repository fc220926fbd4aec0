"""Tools and privileges from outside that a test needs: there, or the test is skipped by name with the reason.

Under CI=true what is missing fails the test instead, so that nothing drops out of the suite unseen.
"""

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent
CI = os.environ.get("CI") == "true"


def need(tool: str) -> str:
    """Path of the executable `tool`, on PATH or among the administrator's tools, which many users have not on PATH."""
    path = shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")
    return path or _missing(f"{tool} is not installed; make packages installs what deploy/packages.txt names")


def need_root() -> None:
    """For a test that binds low ports, mounts file systems or changes the firewall."""
    if os.geteuid() != 0:
        _missing("needs root")


def need_namespaces() -> None:
    """For a test that makes network namespaces and moves interfaces into them."""
    need_root()
    if not _can_unshare(need("unshare"), need("ip")):
        _missing("network namespaces are not allowed here")


@functools.cache
def _can_unshare(unshare: str, ip: str) -> bool:
    return (
        subprocess.run([unshare, "--net", ip, "link", "set", "lo", "up"], capture_output=True, check=False).returncode
        == 0
    )


def need_tun() -> None:
    """For a test in which a process makes a network interface of its own, as VPNs do."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        _missing(f"/dev/net/tun cannot be opened ({error.strerror})")


def _missing(reason: str) -> NoReturn:
    if CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_landlock() -> None:
    """For a test in which a process gives up folders."""
    if not _has_landlock():
        _missing("the kernel has no Landlock of version 2 or newer")


@functools.cache
def _has_landlock() -> bool:
    version = 1
    return int(ctypes.CDLL(None).syscall(444, None, 0, version)) >= 2


def chromium(folder: Path) -> tuple[str, ...]:
    """How a browser without a window, QUIC or a say about certificates is started, with its profile in a folder."""
    return (
        need("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--ignore-certificate-errors",
        f"--user-data-dir={folder}",
    )
