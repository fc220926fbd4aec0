"""Phones that attach and detach, as a packet gateway's accounting tells it: each attempt has its own phone."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lan import LAB, Record, Service, Unbound, dig, free_port, wait_for
from tests.e2e.net import GATEWAY, PHONE, PHONE6, REDIRECT, SERVER, Net
from tests.tools import need

SECRET = "testing-secret-32-bytes-minimum!"
SIMS = {"one": "001010000000001", "two": "001010000000002", "exempt": "001010000000003", "foreign": "001019999999999"}
DEVICES = "id,group,imsi\n" + "".join(f"phone-{name},field,{SIMS[name]}\n" for name in ("one", "two", "exempt"))
TRANSPARENT = 5081


class Pgw:
    """A packet gateway, whose accounting radclient sends."""

    def __init__(self, port: int, inside: tuple[str, ...] = ()) -> None:
        self.port, self.inside = port, inside

    def tell(
        self,
        status: str,
        sim: str,
        address: str = PHONE,
        *,
        at: float | None = None,
        secret: str = SECRET,
        more: str = "",
    ) -> bool:
        """A report of something that happened at a moment, by default now; whether it was answered."""
        attributes = (
            f'Acct-Status-Type = {status}, Acct-Session-Id = "{sim}@{address}", NAS-Identifier = pgw1, '
            f"Framed-IP-Address = {address}, Event-Timestamp = {int(at or time.time())}, "
            f'3GPP-IMSI = "{SIMS[sim]}"{more}'
        )
        command = [*self.inside, need("radclient"), "-r", "1", "-t", "2", f"127.0.0.1:{self.port}", "acct", secret]
        return subprocess.run(command, input=attributes, text=True, capture_output=True, check=False).returncode == 0


def radius(service: Service, realm: str, **more: object) -> Pgw:
    """Give a service accounting in one of its realms."""
    port = free_port()
    (service.folder / "radius.secret").write_text(SECRET)
    client = {"network": "127.0.0.1", "secret_file": "radius.secret"}
    (service.folder / "devices.csv").write_text(DEVICES)
    feed = {"realm": realm, "listen": f"127.0.0.1:{port}", "clients": [client], **more}
    service.change(**{"identity.radius": [feed], "policy.exemptions": []})
    return Pgw(port, service.inside)


@pytest.fixture(scope="module")
def apn(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Pgw]]:
    """A service on loopback, where each address is a client of its own."""
    with Service(tmp_path_factory.mktemp("apn") / "service", upstream.url) as service:
        pgw = radius(service, "office")
        exemption = {"device": "phone-exempt", "services": ["chat"], "until": "2126-01-01", "reason": "a test"}
        service.change(**{"policy.exemptions": [{**exemption, "approved_by": "a tester"}]})
        yield service.start(), pgw


def devices(lines: list[Record]) -> list[tuple[str, int]]:
    return [(line["device"], line["count"]) for line in lines]


def test_each_attempt_has_the_phone_that_had_the_address_then_also_when_accounting_is_late(
    apn: tuple[Service, Pgw],
) -> None:
    service, pgw = apn
    assert pgw.tell("Start", "one", "127.0.0.21")
    service.dig("first.blocked.test", source="127.0.0.21")
    assert devices(service.recorded(1, name="first.blocked.test")) == [("phone-one", 1)]

    time.sleep(1.1)
    detached = time.time()
    time.sleep(1.1)
    attached = time.time()
    service.dig("second.blocked.test", source="127.0.0.21")
    assert pgw.tell("Start", "two", "127.0.0.21", at=attached - 1)  # the next phone's Start comes before the Stop
    assert pgw.tell("Stop", "one", "127.0.0.21", at=detached)
    service.dig("third.blocked.test", source="127.0.0.21")
    assert devices(service.recorded(1, name="second.blocked.test")) == [("phone-two", 1)]
    assert devices(service.recorded(1, name="third.blocked.test")) == [("phone-two", 1)]


def test_one_row_of_counts_is_shared_out_when_the_address_changes_hands(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    assert pgw.tell("Start", "one", "127.0.0.22", at=time.time() - 60)
    for _ in range(5):
        service.dig("shared.blocked.test", source="127.0.0.22")
    time.sleep(1.8)  # a gateway tells whole seconds, and counts are looked at twice a second
    assert pgw.tell("Start", "two", "127.0.0.22")
    for _ in range(3):
        service.dig("shared.blocked.test", source="127.0.0.22")
    lines = service.recorded(8, name="shared.blocked.test")
    counts = {
        name: sum(line["count"] for line in lines if line["device"] == name) for name in ("phone-one", "phone-two")
    }
    assert counts == {"phone-one": 5, "phone-two": 3}


def test_an_attempt_waits_for_a_start_that_comes_after_it_and_the_phone_does_not(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    asked = time.time()
    service.dig("early.blocked.test", source="127.0.0.23")
    assert time.time() - asked < 1
    time.sleep(2)
    assert service.attempts(name="early.blocked.test") == []
    assert pgw.tell("Start", "one", "127.0.0.23", at=asked - 1)
    assert devices(service.recorded(1, name="early.blocked.test")) == [("phone-one", 1)]


def test_what_nobody_claims_is_unresolved_and_what_is_not_ours_is_unlisted(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    assert pgw.tell("Start", "foreign", "127.0.0.24")
    service.dig("foreign.blocked.test", source="127.0.0.24")
    service.dig("nobody.blocked.test", source="127.0.0.25")
    [foreign] = service.recorded(1, name="foreign.blocked.test")
    assert foreign["device"].startswith("unlisted:")
    assert (foreign["identity"]["state"], foreign["identity"]["source"]) == ("unlisted", "radius")
    [nobody] = service.recorded(1, name="nobody.blocked.test")
    assert (nobody["device"], nobody["identity"]["state"]) == (None, "unresolved")
    assert not any(SIMS["foreign"] in file.read_text() for file in (service.data / "log").glob("*.ndjson"))


def test_an_exemption_reaches_a_phone_within_a_second_and_leaves_with_it(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    assert service.dig("lab.blocked.test", source="127.0.0.26").status == "NXDOMAIN"
    assert pgw.tell("Start", "exempt", "127.0.0.26")
    started = time.monotonic()
    wait_for(lambda: service.dig("lab.blocked.test", source="127.0.0.26").status == "NOERROR", "the exemption counts")
    assert time.monotonic() - started < 1.0
    assert pgw.tell("Start", "one", "127.0.0.26")  # another phone has the address now
    started = time.monotonic()
    wait_for(lambda: service.dig("lab.blocked.test", source="127.0.0.26").status == "NXDOMAIN", "the ban counts again")
    assert time.monotonic() - started < 1.0


def test_a_wrong_secret_is_not_answered_and_counted(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    assert not pgw.tell("Start", "two", LAB, secret="another-secret-32-bytes-minimum!")
    assert service.metric("enforcer_radius_packets_total", realm="office", result="bad_authenticator") >= 1


def test_a_killed_hub_remembers_its_sessions_and_doubts_them(apn: tuple[Service, Pgw]) -> None:
    service, pgw = apn
    assert pgw.tell("Start", "two", "127.0.0.27")
    service.restarted("hub", service.kill("hub"))
    service.dig("after.blocked.test", source="127.0.0.27")
    [line] = service.recorded(1, name="after.blocked.test")
    assert (line["device"], line["identity"]["state"], line["identity"]["confidence"]) == ("phone-two", "stale", "low")
    assert "phone-two" in service.enforcer("devices", "sessions", "--device", "phone-two")
    assert pgw.tell("Interim-Update", "two", "127.0.0.27")
    service.dig("sure.blocked.test", source="127.0.0.27")
    [line] = service.recorded(1, name="sure.blocked.test")
    assert (line["device"], line["identity"]["state"]) == ("phone-two", "resolved")


def test_who_looks_behind_an_id_is_on_record(apn: tuple[Service, Pgw]) -> None:
    service, _ = apn
    assert SIMS["one"] in service.enforcer("devices", "reveal", "phone-one", "--reason", "a lost phone")
    assert [(each["device"], each["reason"]) for each in service.events("access")] == [("phone-one", "a lost phone")]
    folder = service.data / "identity"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_in_dns_and_in_the_proxy_it_is_the_phone_that_has_the_address(tmp_path: Path) -> None:
    with Net(tmp_path / "net") as net:
        net.nft(REDIRECT % TRANSPARENT)
        with Service(tmp_path / "service", "udp://127.0.0.1:9", inside=net.inside("gateway")) as service:
            listener = {"name": "dns4", "udp": f"{GATEWAY}:53", "tcp": f"{GATEWAY}:53"}
            pgw = radius(service, "apn")
            service.change(
                **{
                    "realms": [{"name": "apn", "networks": ["192.0.2.0/24", "2001:db8:1::/64"], "listeners": ["dns4"]}],
                    "resolver.listeners": [listener],
                    "proxy": {"modes": [f"transparent@{TRANSPARENT}"], "workers": 1, "drain_s": 0},
                }
            )
            service.ban("suffix: blocked.test")
            service.start()
            for number, sim in enumerate(("one", "two")):
                name, page = f"name{number}.blocked.test", f"page{number}.blocked.test"
                prefix = ', Framed-IPv6-Prefix = "2001:db8:1::/64"'
                assert pgw.tell("Start", sim, at=time.time() - 1 + number, more=prefix)
                assert dig(GATEWAY, 53, name, inside=net.inside("phone")).status == "NXDOMAIN"
                command = (need("openssl"), "s_client", "-connect", f"{SERVER}:443", "-servername", page)
                assert "alert number 112" in net.run("phone", *command)
                lines = [*service.recorded(1, name=name), *service.recorded(1, name=page)]
                assert [(line["layer"], line["device"], line["client_ip"]) for line in lines] == [
                    ("dns", f"phone-{sim}", PHONE),
                    ("tls", f"phone-{sim}", PHONE),
                ]
                assert pgw.tell("Stop", sim)
                time.sleep(1.1)
            assert PHONE6 not in service.stderr
