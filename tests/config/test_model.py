"""The keys of enforcer.yaml and their defaults."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from enforcer.config.model import Config, Demand, Index, Outside, Section, Strategy, UnknownToken, upstream_labels
from enforcer.config.values import Endpoint, Upstream
from enforcer.decide.dns import Ech
from enforcer.policy.rules import Answer, Evidence, Mode
from enforcer.policy.thirdparty import Format

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def sections(annotation: object = Config) -> Iterator[type[Section]]:
    """Every section that a type is or holds."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, Section):
            yield inner
            for field in inner.model_fields.values():
                yield from sections(field.annotation)


def test_what_need_not_be_written_has_these_defaults(configured: Configured, tmp_path: Path) -> None:
    config = configured({})
    assert config.node == socket.gethostname()
    assert config.data_dir == Path("/var/lib/enforcer")
    assert config.model_dump(exclude={"node", "data_dir"}) == {
        "policy": {
            "lists": (str(tmp_path / "shipped" / "wechat.yaml"),),
            "third_party": (),
            "mode": Mode.ENFORCE,
            "ban": "tbs-2023-10-30",
            "notice": {
                "en": "Blocked by organization policy",
                "fr": "Bloqué par la politique de l’organisation",
                "contact": None,
                "monitoring_notice_acknowledged": False,
            },
            "exemptions": (),
        },
        "realms": (
            {"name": "home", "networks": ("127.0.0.0/8",), "listeners": ("dns",), "mode": Mode.ENFORCE, "ech": None},
        ),
        "resolver": {
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
            "answer": Answer.NXDOMAIN,
            "sinkhole": (),
            "block_ttl": 60,
            "soa": {"mname": "policy.invalid", "rname": "hostmaster.invalid"},
            "ede": {"code": 15, "text": None},
            "ech": Ech.STRIP,
            "cache": {"max_bytes": "256MB", "max_ttl": 86_400, "serve_stale": False},
            "local": {"forward": {}, "records": ()},
            "nat64": ("64:ff9b::/96",),
            "limits": {
                "per_client_qps": 50,
                "burst": 200,
                "trusted_forwarders": (),
                "tcp_per_client": 20,
                "tcp_clients": 1000,
                "tcp_idle_s": 10.0,
            },
            "timeouts": {"attempt_s": 1.0, "query_s": 5.0},
            "outside": Outside.REFUSE,
            "chaos": None,
            "workers": "auto",
        },
        "identity": {"inventory": None},
        "attempts": {
            "aggregate_s": 60.0,
            "fsync_s": 1.0,
            "spool_max": "2GB",
            "index": Index.SQLITE,
        },
        "metrics": {"listen": "127.0.0.1:9310", "devices": 50},
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


def test_an_exemption_has_a_holder_services_an_end_a_reason_and_an_owner(configured: Configured) -> None:
    exemption = {
        "device": "dev-1",
        "services": ["kaspersky"],
        "until": "2027-03-31",
        "reason": "lab",
        "approved_by": "CISO",
    }
    (found,) = configured({"policy.exemptions": [exemption]}).policy.exemptions
    assert (found.device, found.group, found.services) == ("dev-1", None, ("kaspersky",))
    assert found.until == datetime(2027, 3, 31, tzinfo=UTC)
    assert (found.reason, found.approved_by) == ("lab", "CISO")


def test_a_third_party_list_is_named_after_its_file_unless_it_has_a_name(
    configured: Configured, tmp_path: Path
) -> None:
    lists = [{"file": "lists/names.txt", "service": "wechat"}, {"file": "/x.txt", "service": "wechat", "name": "other"}]
    first, second = configured({"policy.third_party": lists}).policy.third_party
    assert (first.file, first.list_name) == (tmp_path / "lists/names.txt", "names")
    assert (second.file, second.list_name) == (Path("/x.txt"), "other")
    assert (first.format, first.part, first.evidence, first.max_bad_lines) == (
        Format.AUTO,
        "listed",
        Evidence.SHARED,
        100,
    )


def test_a_realm_without_a_mode_has_that_of_the_policy(configured: Configured) -> None:
    realm = {"name": "home", "networks": ["127.0.0.0/8"], "listeners": ["dns"], "mode": ""}
    pilot = {"name": "pilot", "networks": ["192.0.2.0/24"], "listeners": ["dns"], "mode": "enforce"}
    config = configured({"policy.mode": "monitor", "realms": [realm, pilot]})
    assert [realm.mode for realm in config.realms] == [Mode.MONITOR, Mode.ENFORCE]


def test_the_text_of_a_block_is_the_notice_in_both_languages_and_whom_to_ask(configured: Configured) -> None:
    notice = {"en": "No", "fr": "Non", "contact": "mailto:itsec@dept.example"}
    assert configured({"policy.notice": notice}).ede_text == "No / Non (itsec@dept.example)"
    assert configured({}).ede_text == "Blocked by organization policy / Bloqué par la politique de l’organisation"
    assert configured({"resolver.ede.text": "Blocked"}).ede_text == "Blocked"


def test_a_key_without_a_value_has_its_default(configured: Configured) -> None:
    config = configured({"resolver.chaos": "", "resolver.cache": "", "policy.notice.contact": "null"})
    assert config == configured({})


def test_null_is_an_answer(configured: Configured) -> None:
    assert configured({"resolver.answer": "null"}).resolver.answer is Answer.NULL


def test_a_configuration_does_not_change(configured: Configured) -> None:
    config = configured({})
    with pytest.raises(ValidationError):
        config.resolver.block_ttl = 5  # type: ignore[misc]


def test_every_key_says_what_it_means() -> None:
    unsaid = [
        f"{s.__name__}.{key}" for s in sections() for key, field in s.model_fields.items() if not field.description
    ]
    assert unsaid == []


def test_every_key_that_must_be_written_has_an_example() -> None:
    needed = [(s.__name__, key, f) for s in sections() for key, f in s.model_fields.items() if f.is_required()]
    assert [f"{section}.{key}" for section, key, field in needed if not field.examples] == []


def test_no_key_is_both_supported_and_not() -> None:
    assert [s.__name__ for s in sections() if s.later & set(s.model_fields)] == []


def test_upstreams_are_labelled_by_their_numbers_what_is_forwarded_first(configured: Configured) -> None:
    forward = {"Corp.Example": ["tls://192.0.2.10#dns.corp.example"]}
    config = configured({"resolver.upstreams": ["udp://192.0.2.1"], "resolver.local": {"forward": forward}})
    assert upstream_labels(config) == ("corp.example tls://192.0.2.10#dns.corp.example", "udp://192.0.2.1")
