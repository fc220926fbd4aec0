"""Each test gives up the privileges of a process of its own."""

import subprocess
import sys

import pytest

from enforcer import privileges
from enforcer.errors import Unavailable
from enforcer.privileges import Capability, keep_only
from tests import tools

TRY = """
import subprocess, sys
from enforcer.privileges import Capability, keep_only

keep_only([Capability[name] for name in sys.argv[1:]])

def sets(text):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}

own = sets(open("/proc/self/status").read())
started = sets(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
print(own["CapEff"], own["CapPrm"], own["CapBnd"], started["CapEff"])
"""


def given_up(*kept: str) -> list[int]:
    """The sets of such a process: effective, permitted, bounding, and effective of a program that it starts."""
    run = subprocess.run([sys.executable, "-c", TRY, *kept], capture_output=True, text=True, check=True, cwd=tools.ROOT)
    return [int(each) for each in run.stdout.split()]


@pytest.mark.parametrize("kept", [(), ("NET_BIND_SERVICE",), ("NET_ADMIN", "NET_RAW")])
def test_what_is_not_wanted_is_gone_for_good_and_for_every_program(kept: tuple[str, ...]) -> None:
    tools.need_root()
    expected = sum(1 << Capability[name] for name in (*kept, "DAC_OVERRIDE"))
    assert given_up(*kept) == [expected] * 4


def test_a_refusal_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def prctl(self, *_: object) -> int:
            return 0

        def capget(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(privileges, "_libc", Refuses())
    with pytest.raises(Unavailable, match="capabilities cannot be given up"):
        keep_only([])
