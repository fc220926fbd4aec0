import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from enforcer.config.pages import Console
from enforcer.config.resolver import Listener
from enforcer.config.values import Endpoint
from enforcer.hub.certificates import all_expiries, expiries
from tests.certificates import Authority
from tests.processes.site import Site

AT = Endpoint(ipaddress.IPv4Address("127.0.0.1"), 853)


def test_t7_the_first_certificate_of_a_chain_to_end_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("dns", days=9)
    pair.certificate.write_bytes(authority.pem.read_bytes() + pair.certificate.read_bytes())
    plain = Listener.model_construct(name="dns", udp=AT, tcp=AT)
    listener = Listener.model_construct(name="roam", tls=AT, certificate=pair.certificate, key=pair.key)
    found = expiries((plain, listener))
    assert list(found) == ["roam"]
    expected = datetime.now(UTC) + timedelta(days=9)
    assert abs(found["roam"] - expected.timestamp()) < 3600
    pair.certificate.write_text("none")
    assert expiries((listener,)) == {"roam": 0.0}
    pair.certificate.unlink()
    assert expiries((listener,)) == {"roam": 0.0}


def test_the_consoles_certificate_is_watched_too(tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("console", days=9)
    (tmp_path / "site").mkdir()
    config = Site(tmp_path / "site").config
    assert all_expiries(config) == {}
    console = Console.model_construct(certificate=pair.certificate, key=pair.key)
    found = all_expiries(config.model_copy(update={"console": console}))
    assert list(found) == ["console"]
    assert found["console"] > 0
