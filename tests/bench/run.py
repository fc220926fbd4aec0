"""What `make bench` runs: measures against the budgets and other servers, reports, asserts nothing.

usage: run.py [dns] [streams] [service] [policy] [flow] [index] [pages] [proxy] [gate] [identity] [evidence]
[pipeline]: these, else all
"""

import os
import platform
import signal
import sys

from tests.bench import compare, evidence, flow, gate, identity, index, pages, pipeline, policy, proxy, service, streams
from tests.bench.process import find
from tests.bench.tables import print_table


def names() -> None:
    """A million names in the policy."""
    print_table(("a million names in the policy", ""), policy.main())


def connections() -> None:
    """The first octets of connections."""
    print_table(("the first octets of a connection", "octets", "CPU µs"), flow.main())


def known() -> None:
    """Sessions and accounting."""
    print_table(("identity", ""), identity.main())


def proven() -> None:
    """The record as evidence."""
    print_table(("evidence, on one core", ""), evidence.main())


PARTS = {
    "dns": compare.main,
    "streams": streams.main,
    "service": service.main,
    "policy": names,
    "flow": connections,
    "index": index.main,
    "pages": pages.main,
    "proxy": proxy.main,
    "gate": gate.main,
    "identity": known,
    "evidence": proven,
    "pipeline": pipeline.main,
}
NEED_LOAD = {"dns", "streams", "service"}


def main(wanted: list[str]) -> None:
    """Run the parts that are wanted, one after the other."""
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f'"{unknown[0]}" is no benchmark; there are {", ".join(PARTS)}')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load average before: {os.getloadavg()[0]:.2f}. "
        "Compare within one run, made on an idle machine."
    )
    for part in wanted or PARTS:
        print(f"\n== {part}", flush=True)
        if part in NEED_LOAD and find("dnsperf") is None:
            print("dnsperf: not installed, left out; sudo .ci/packages bench installs it")
        else:
            PARTS[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
