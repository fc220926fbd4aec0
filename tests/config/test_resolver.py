from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from enforcer.config.model import Config
from enforcer.config.resolver import Demand, Language, Outside, Strategy, UnknownToken
from enforcer.config.values import Endpoint, Upstream
from enforcer.decide.dns import Ech
from enforcer.policy.rules import Answer

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).resolver.model_dump() == {
        "listeners": (
            {
                "name": "dns",
                "udp": "127.0.0.1:5300",
                "tcp": "127.0.0.1:5300",
                "tls": None,
                "https": None,
                "certificate": None,
                "key": None,
                "server_name": None,
                "client_ca": None,
                "client_certificates": Demand.REQUIRED,
                "tokens": None,
                "token_file": None,
                "unknown_token": UnknownToken.REFUSE,
                "proxy_protocol_from": (),
            },
        ),
        "upstreams": "auto",
        "upstream_ca": None,
        "strategy": Strategy.FASTEST,
        "mixed_case": False,
        "answer": Answer.NXDOMAIN,
        "sinkhole": (),
        "block_ttl": 60,
        "soa": {"mname": "policy.invalid", "rname": "hostmaster.invalid"},
        "ede": {
            "code": 15,
            "text": None,
            "structured": {"option": None, "sub_error": 5, "language": Language.ENGLISH, "organization": None},
        },
        "ech": Ech.STRIP,
        "cache": {"max_bytes": "256MB", "max_ttl": 86_400, "serve_stale": False, "prefetch": True},
        "cookies": {"secret_file": None},
        "info_url": None,
        "local": {"forward": {}, "records": ()},
        "nat64": ("64:ff9b::/96",),
        "limits": {
            "per_client_qps": 50,
            "burst": 200,
            "trusted_forwarders": (),
            "device_options": (),
            "tcp_per_client": 20,
            "tcp_clients": 1000,
            "tcp_idle_s": 10.0,
        },
        "timeouts": {"attempt_s": 1.0, "query_s": 5.0},
        "outside": Outside.REFUSE,
        "chaos": None,
        "workers": "auto",
    }


def test_values_have_types_of_their_own(configured: Configured) -> None:
    config = configured(
        {
            "resolver.upstreams": ["udp://192.0.2.1", "udp://[2001:db8::1]:5353"],
            "resolver.workers": 2,
            "resolver.cache.max_bytes": "64MiB",
            "resolver.sinkhole": ["192.0.2.80"],
        }
    )
    assert config.resolver.listeners[0].udp == Endpoint(IPv4Address("127.0.0.1"), 5300)
    assert config.resolver.upstreams[0] == Upstream(IPv4Address("192.0.2.1"))
    assert config.resolver.workers == 2
    assert config.resolver.cache.max_bytes == 64 * 2**20
    assert config.resolver.sinkhole == (IPv4Address("192.0.2.80"),)
    assert config.resolver.nat64 == (IPv6Network("64:ff9b::/96"),)
    assert config.realms[0].networks == (IPv4Network("127.0.0.0/8"),)
    assert config.metrics.listen == Endpoint(IPv4Address("127.0.0.1"), 9310)


@pytest.mark.parametrize("value", ["auto", ["auto"], ""])
def test_automatic_upstreams_are_none_named(configured: Configured, value: object) -> None:
    assert configured({"resolver.upstreams": value}).resolver.upstreams == ()


@pytest.mark.parametrize("value", ["auto", "null", "~", ""])
def test_an_automatic_number_of_workers_is_none(configured: Configured, value: object) -> None:
    assert configured({"resolver.workers": value}).resolver.workers is None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "resolver.limits.device_options",
            [8],
            "is no option that tells of a device; write 65001, 65073, 65074 or 20292",
        ),
        ("resolver.info_url", "http://it.dept.example", 'is not a URL; write one, as in "https://it.dept.example/dns"'),
        ("resolver.cookies.secret_file", "none.secret", "is not a file"),
        ("resolver.ede.structured.language", "de", "is not a choice here"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[[Changes], list[str]], path: str, value: object, said: str
) -> None:
    (told,) = refused({path: value})
    assert said in told
