"""What is allowed leaves no trace: not in any file, not in the log of the service, not on the metrics page."""

import socket
from collections.abc import Iterator

from tests.e2e.lan import PHONE, Service, Unbound, dnsperf, question

QUIET = "127.0.0.77"


def everything(service: Service) -> Iterator[tuple[str, bytes]]:
    """All that the service has written or says."""
    for path in sorted(service.data.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
    yield "stderr", service.stderr.encode()
    yield "/metrics", service.page().encode()
    yield "status", service.enforcer("status", "--json").encode()


def on_the_wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))


def test_allowed_names_and_who_asked_for_them_leave_no_trace(own: Service, upstream: Unbound) -> None:
    own.start()
    names = [f"zebra{number}.quiet{number % 7}.ok.test" for number in range(300)]
    for name in names:
        assert b"\xc0\x00\x02\x14" in own.send(question(name), QUIET)  # 192.0.2.20
    own.dig("zebra.ok.test", "+tcp", source=QUIET)
    own.dig("zebra-missing.quiet.test", source=QUIET)
    own.dig("zebra.mask.icloud.com", source=QUIET)
    own.dig("zebra.blocked.test", source="127.0.0.3")  # exempt
    own.dig("zebra.outside.test", source="127.9.9.9")
    with dnsperf(own, [f"{name} A" for name in names[:50]], "-l", "1", "-Q", "2000") as load:
        assert load().lost == 0
    own.dig("trace.blocked.test", source=PHONE)
    own.recorded(1, name="trace.blocked.test")
    assert set(names) <= set(upstream.asked)

    addresses = [QUIET.encode(), socket.inet_aton(QUIET), b"127.9.9.9", socket.inet_aton("127.9.9.9")]
    found = dict(everything(own))
    assert any(b"trace.blocked.test" in data for data in found.values())  # one would be seen
    for where, data in found.items():
        for trace in (b"zebra", b"quiet", on_the_wire("mask.icloud.com"), *addresses):
            assert trace not in data, f"{trace!r} in {where}"
    assert own.stop() == 0
    for where, data in ((str(path), path.read_bytes()) for path in own.data.rglob("*") if path.is_file()):
        assert b"zebra" not in data, where
    assert "zebra" not in own.stderr


def test_an_allowed_name_gets_what_upstream_says(service: Service) -> None:
    answer = service.dig("www.test")
    assert (answer.status, answer.data, answer.ede) == ("NOERROR", ["192.0.2.10"], "")
    assert answer.flags == {"qr", "rd", "ra"}
    assert service.dig("www.test", "AAAA").data == ["2001:db8::10"]
    assert service.dig6("www.test").data == ["192.0.2.10"]
    missing = service.dig("missing.test")
    assert (missing.status, missing.ede) == ("NXDOMAIN", "")
    assert service.dig("www.test", "MX").status == "NOERROR"
