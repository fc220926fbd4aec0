"""What must hold between keys."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.contradictions import contradictions, unknown_services
from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]
type Refused = Callable[[Changes], list[str]]


def listener(name: str, at: str, tcp: str = "") -> dict[str, str]:
    return {"name": name, "udp": at, "tcp": tcp or at}


def realm(name: str, network: str, *listeners: str) -> dict[str, object]:
    return {"name": name, "networks": [network], "listeners": list(listeners)}


def test_a_right_configuration_holds_together(configured: Configured) -> None:
    assert list(contradictions(configured({}))) == []


def test_two_lists_of_one_name_are_refused(refused: Refused) -> None:
    third = [{"file": "other.txt", "service": "wechat"}, {"file": "x.txt", "service": "wechat", "name": "wechat"}]
    assert refused({"policy.lists": ["wechat.yaml", "wechat.yaml"], "policy.third_party": third}) == [
        'policy.lists[1]: a second list is named "wechat"; rename it, or leave it out',
        'policy.third_party[1]: a second list is named "wechat"; rename it, or leave it out',
    ]


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"file": "lists/my list.txt"}, "my list"),
        ({"file": "lists/..txt"}, "."),
        ({"file": "x.txt", "name": ".."}, ".."),
    ],
)
def test_a_third_party_list_has_a_name_that_can_begin_the_ids_of_rules(
    refused: Refused, keys: dict[str, str], name: str
) -> None:
    assert refused({"policy.third_party": [{**keys, "service": "wechat"}]}) == [
        f'policy.third_party[0]: "{name}" cannot name a list; write its name, as in name: "tracking"'
    ]


def test_two_realms_of_one_name_are_refused(refused: Refused) -> None:
    assert refused({"realms": [realm("a", "10.1.0.0/16", "dns"), realm("a", "10.2.0.0/16", "dns")]}) == [
        'realms[1].name: a second realm is named "a"; write another name'
    ]


def test_a_realm_with_an_unknown_listener_is_refused(refused: Refused) -> None:
    assert refused({"realms": [realm("a", "10.1.0.0/16", "dns", "dsn")]}) == [
        'realms[0].listeners[1]: "dsn" is not a listener of the resolver; did you mean "dns"?'
    ]


def test_a_listener_without_a_realm_is_refused(refused: Refused) -> None:
    assert refused({"resolver.listeners": [listener("dns", "127.0.0.1:53"), listener("spare", "127.0.0.2:53")]}) == [
        'resolver.listeners[1]: listener "spare" serves no realm; name it in the listeners of a realm, or leave it out'
    ]


def test_realms_that_share_a_listener_do_not_share_addresses(refused: Refused) -> None:
    assert refused({"realms": [realm("a", "10.0.0.0/8", "dns"), realm("b", "10.2.0.0/16", "dns")]}) == [
        (
            'realms[1].networks[0]: "10.2.0.0/16" overlaps "10.0.0.0/8" of realm "a", which shares listener "dns"; '
            "part the networks, or give each realm its own listener"
        )
    ]


def test_realms_at_listeners_of_their_own_may_have_the_same_addresses(configured: Configured) -> None:
    config = configured(
        {
            "resolver.listeners": [listener("one", "127.0.0.1:53"), listener("two", "127.0.0.2:53")],
            "realms": [realm("a", "10.0.0.0/8", "one"), realm("b", "10.0.0.0/8", "two")],
        }
    )
    assert [str(realm.networks[0]) for realm in config.realms] == ["10.0.0.0/8", "10.0.0.0/8"]


@pytest.mark.parametrize("wanted", ["127.0.0.1:53", "0.0.0.0:53"])
def test_two_listeners_on_one_address_are_refused(refused: Refused, wanted: str) -> None:
    listeners = [listener("dns", "127.0.0.1:53"), listener("two", wanted)]
    assert refused({"resolver.listeners": listeners, "realms": [realm("a", "10.0.0.0/8", "dns", "two")]}) == [
        f'resolver.listeners[1].udp: "{wanted}" is taken by listener "dns"; write another address or port',
        f'resolver.listeners[1].tcp: "{wanted}" is taken by listener "dns"; write another address or port',
    ]


def test_udp_and_tcp_do_not_take_each_other(configured: Configured) -> None:
    listeners = [listener("dns", "127.0.0.1:53", "127.0.0.1:54"), listener("two", "127.0.0.1:54", "127.0.0.1:53")]
    config = configured({"resolver.listeners": listeners, "realms": [realm("a", "10.0.0.0/8", "dns", "two")]})
    assert len(config.resolver.listeners) == 2


def test_two_listeners_of_one_name_are_refused(refused: Refused) -> None:
    assert refused({"resolver.listeners": [listener("dns", "127.0.0.1:53"), listener("dns", "127.0.0.2:53")]}) == [
        'resolver.listeners[1].name: a second listener is named "dns"; write another name'
    ]


def test_metrics_and_a_listener_do_not_share_an_address(refused: Refused) -> None:
    assert refused({"metrics.listen": "127.0.0.1:5300"}) == [
        'metrics.listen: "127.0.0.1:5300" is taken by listener "dns"; write another address or port'
    ]


@pytest.mark.parametrize(("at", "upstream"), [("127.0.0.1:53", "udp://127.0.0.1"), ("[::]:53", "udp://[::1]")])
def test_an_upstream_that_is_ourselves_is_refused(refused: Refused, at: str, upstream: str) -> None:
    changes: Changes = {
        "resolver.listeners": [listener("dns", at)],
        "resolver.upstreams": ["udp://192.0.2.1", upstream],
    }
    assert refused(changes) == [
        f'resolver.upstreams[1]: "{upstream}" is our own listener "dns"; write the resolver that is to be asked'
    ]


def test_an_upstream_that_is_named_twice_is_refused(refused: Refused) -> None:
    assert refused({"resolver.upstreams": ["udp://192.0.2.1", "udp://192.0.2.1:53"]}) == [
        'resolver.upstreams[1]: "udp://192.0.2.1" is named twice; leave one out'
    ]


def test_a_sinkhole_needs_an_address(refused: Refused) -> None:
    assert refused({"resolver.answer": "sinkhole"}) == [
        (
            'resolver.sinkhole: answer is "sinkhole" and no address is named; '
            'write one, as in sinkhole: ["192.0.2.80", "2001:db8::80"]'
        )
    ]


def test_the_text_of_a_blocked_answer_has_an_end(refused: Refused) -> None:
    assert refused({"policy.notice": {"en": "x" * 120, "fr": "é" * 60}}) == [
        "policy.notice: the text of a blocked answer has 243 bytes; write at most 240, in both languages"
    ]
    assert refused({"resolver.ede": {"text": "é" * 121}}) == [
        "resolver.ede.text: the text of a blocked answer has 242 bytes; write at most 240, in both languages"
    ]


def test_one_upstream_does_not_take_longer_than_all(refused: Refused) -> None:
    assert refused({"resolver.timeouts": {"attempt_s": 2.5, "query_s": 2}}) == [
        'resolver.timeouts.attempt_s: "2.5" is more than query_s; write at most "2"'
    ]


@pytest.mark.parametrize("holder", [{}, {"device": "dev-1", "group": "lab"}])
def test_an_exemption_is_for_one_device_or_one_group(refused: Refused, holder: dict[str, str]) -> None:
    exemption = {"services": ["wechat"], "until": "2027-03-31", "reason": "lab", "approved_by": "CISO", **holder}
    assert refused({"policy.exemptions": [exemption]}) == [
        'policy.exemptions[0]: an exemption is for one device or one group; write either "device" or "group"'
    ]


def test_an_exempt_service_that_no_list_bans_is_found(configured: Configured) -> None:
    exemption: Changes = {"device": "d", "until": "2027-03-31", "reason": "lab", "approved_by": "CISO"}
    config = configured({"policy.exemptions": [{**exemption, "services": ["wechat", "kasperski"]}]})
    assert list(unknown_services(config, {"wechat", "kasperski"})) == []
    assert list(unknown_services(config, {"wechat", "kaspersky"})) == [
        (
            ("policy", "exemptions", 0, "services", 1),
            '"kasperski" is not a service of the lists in force; did you mean "kaspersky"?',
        )
    ]


SECURE: Changes = {"certificate": "dns.pem", "key": "dns.key"}
AT, ALSO = "127.0.0.1:5853", "127.0.0.1:5443"


@pytest.fixture
def wrong(tmp_path: Path, refused: Refused) -> Callable[..., list[str]]:
    """What is wrong with one listener of these keys, whose files are there."""
    for file in ("dns.pem", "dns.key", "ca.pem", "tokens.txt"):
        (tmp_path / file).touch()
    return lambda **keys: [
        mistake.removeprefix("resolver.listeners[0]")
        for mistake in refused({"resolver.listeners": [{"name": "dns", **keys}]})
    ]


def test_a_listener_over_tls_alone_is_right(tmp_path: Path, configured: Configured) -> None:
    for file in ("dns.pem", "dns.key", "ca.pem", "tokens.txt"):
        (tmp_path / file).touch()
    roam = {
        "name": "roam", "tls": AT, "https": ALSO, "server_name": "dns.example", "client_ca": "ca.pem",
        "client_certificates": "optional", "tokens": "required", "token_file": "tokens.txt",
        "unknown_token": "strictest", "proxy_protocol_from": ["192.0.2.10"], **SECURE,
    }  # fmt: skip
    config = configured({"resolver.listeners": [roam], "realms": [{"name": "roaming", "listeners": ["roam"]}]})
    assert config.realms[0].networks == ()
    assert config.resolver.listeners[0].demands_proof


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, [': it listens nowhere; write "udp" and "tcp", "tls" or "https", each with an address and a port']),
        ({"udp": AT}, [f'.tcp: missing; write it, as in tcp: "{AT}", since whoever asks over udp may need both']),
        ({"tcp": AT}, [f'.udp: missing; write it, as in udp: "{AT}", since whoever asks over tcp may need both']),
        (
            {"tls": AT},
            [
                '.certificate: missing; TLS needs it: write it, as in certificate: "dns.pem"',
                '.key: missing; TLS needs it: write it, as in key: "dns.key"',
            ],
        ),
        (
            {"udp": AT, "tcp": AT, "certificate": "dns.pem"},
            ['.certificate: it has a meaning over TLS alone; write "tls" or "https" too, or leave it out'],
        ),
        (
            {"udp": AT, "tcp": AT, "tls": ALSO, "client_ca": "ca.pem", **SECURE},
            [".udp: no token or certificate can be shown in clear text; give udp and tcp a listener of their own"],
        ),
        (
            {"tls": AT, "client_certificates": "optional", **SECURE},
            ['.client_certificates: nobody says who signs them; write "client_ca", or leave it out'],
        ),
        (
            {"https": AT, "tokens": "required", **SECURE},
            ['.token_file: missing; no token would be known: write it, as in token_file: "tokens.txt"'],
        ),
        (
            {"tls": AT, "tokens": "required", "token_file": "tokens.txt", **SECURE},
            ['.server_name: missing; tokens of DoT clients stand under it: write it, as in server_name: "dns.example"'],
        ),
        (
            {"tls": AT, "token_file": "tokens.txt", "unknown_token": "strictest", **SECURE},
            [
                f'.{key}: tokens are not looked at; write "tokens: required" or "tokens: optional", or leave it out'
                for key in ("token_file", "unknown_token")
            ],
        ),
        (
            {"tls": AT, "https": AT, **SECURE},
            [f'.https: "{AT}" is taken by listener "dns"; write another address or port'],
        ),
    ],
)
def test_a_listener_has_what_its_transports_need_and_no_more(
    wrong: Callable[..., list[str]], keys: Changes, said: list[str]
) -> None:
    assert wrong(**keys) == said


def test_a_realm_without_networks_needs_proof_at_every_listener(tmp_path: Path, refused: Refused) -> None:
    for file in ("dns.pem", "dns.key", "tokens.txt"):
        (tmp_path / file).touch()
    roam = {"name": "roam", "https": ALSO, "tokens": "optional", "token_file": "tokens.txt", **SECURE}
    realms = [{"name": "one", "listeners": ["dns", "roam"]}, {"name": "two", "listeners": ["roam"]}]
    assert refused({"resolver.listeners": [listener("dns", "127.0.0.1:53"), roam], "realms": realms}) == [
        (
            'realms[0].listeners[0]: listener "dns" takes neither tokens nor client certificates, and the realm has no '
            "networks; write networks, or what the listener wants of its clients"
        ),
        (
            'realms[1].listeners[0]: realm "one" has no networks either and shares listener "roam"; '
            "write networks for one of them"
        ),
    ]


def test_upstreams_of_a_domain_are_not_ourselves_and_not_named_twice(refused: Refused) -> None:
    forward = {"corp.example": ["udp://127.0.0.1:5300", "udp://192.0.2.1", "udp://192.0.2.1:53"]}
    assert refused({"resolver.local": {"forward": forward}}) == [
        (
            'resolver.local.forward.corp.example[0]: "udp://127.0.0.1:5300" is our own listener "dns"; '
            "write the resolver that is to be asked"
        ),
        'resolver.local.forward.corp.example[2]: "udp://192.0.2.1" is named twice; leave one out',
    ]


def test_no_more_upstreams_are_named_than_are_counted(refused: Refused) -> None:
    assert refused({"resolver.upstreams": [f"udp://192.0.2.{number}" for number in range(1, 18)]}) == [
        "resolver.upstreams: 17 upstreams are named in all; write at most 16"
    ]


_TO_NONE = (
    "realms[0].listeners: the gateway redirects DNS over IPv6 to none of them; name a listener with udp and an IPv6 "
    "address of this machine that is not on loopback"
)
_TWICE = (
    'realms[1].networks[0]: "10.1.2.0/24" is also of realm "a", and the gateway cannot tell them apart; write '
    '"interfaces" for both'
)


def test_a_gateway_has_somewhere_to_redirect_dns_to(configured: Configured, refused: Refused) -> None:
    lan = {
        "gateway.enabled": True,
        "gateway.proxied": [],
        "realms": [{"name": "lan", "networks": ["10.1.0.0/16", "2001:db8::/64"], "listeners": ["dns"]}],
    }
    assert refused({**lan, "resolver.listeners": [listener("dns", "10.1.0.1:53")]}) == [_TO_NONE]
    assert len(refused({**lan, "resolver.listeners": [listener("dns", "127.0.0.1:53")]})) == 2
    both = [listener("dns", "10.1.0.1:53"), listener("dns6", "[::]:53")]
    lan["realms"] = [{"name": "lan", "networks": ["10.1.0.0/16", "2001:db8::/64"], "listeners": ["dns", "dns6"]}]
    assert configured({**lan, "resolver.listeners": both}).gateway.enabled


def test_a_gateway_tells_realms_with_the_same_addresses_apart_by_interface(
    configured: Configured, refused: Refused
) -> None:
    listeners = [listener("one", "192.0.2.1:53"), listener("two", "192.0.2.2:53")]
    one, two = realm("a", "10.1.0.0/16", "one"), realm("b", "10.1.2.0/24", "two")
    lan = {"gateway.enabled": True, "gateway.proxied": [], "resolver.listeners": listeners, "realms": [one, two]}
    assert refused(lan) == [_TWICE]
    one["interfaces"], two["interfaces"] = ["apn0"], ["apn1"]
    assert configured(lan).gateway.enabled
    one["interfaces"] = ["apn0", "apn1"]
    assert len(refused(lan)) == 1


def test_dns_fails_open_to_an_upstream_that_devices_can_ask(configured: Configured, refused: Refused) -> None:
    lan: Changes = {
        "gateway.enabled": True,
        "gateway.proxied": [],
        "gateway.fail_open": ["dns"],
        "resolver.listeners": [listener("dns", "10.1.0.1:53")],
        "realms": [realm("lan", "10.1.0.0/16", "dns")],
    }
    for upstreams in (["tls://198.51.100.1#dns.example"], ["udp://127.0.0.2:5301"], ["udp://198.51.100.1:5353"]):
        [said] = refused({**lan, "resolver.upstreams": upstreams})
        assert said.startswith('gateway.fail_open: "dns" needs an upstream that devices themselves can ask; write')
        assert configured({**lan, "resolver.upstreams": upstreams, "gateway.fail_open": ["gate"]}).gateway.enabled
    reached = ["tls://198.51.100.1#dns.example", "udp://198.51.100.1"]
    assert configured({**lan, "resolver.upstreams": reached}).gateway.enabled


def test_what_a_gateway_redirects_to_the_proxy_has_somebody_to_take_it(
    configured: Configured, refused: Refused
) -> None:
    lan: Changes = {
        "gateway.enabled": True,
        "resolver.listeners": [listener("dns", "10.1.0.1:53")],
        "realms": [realm("lan", "10.1.0.0/16", "dns")],
    }
    said = "nothing takes what is redirected to the proxy; write transparent@5081 in proxy.modes, or proxied: []"
    assert refused(lan) == [f"gateway.proxied: {said}"]
    assert refused({**lan, "gateway.proxied": [], "gateway.connections": "proxy"}) == [f"gateway.proxied: {said}"]
    assert refused({**lan, "proxy.modes": ["transparent@127.0.0.1:5081"]}) == [f"gateway.proxied: {said}"]
    rights: tuple[Changes, ...] = ({"gateway.proxied": []}, {"proxy.modes": ["regular@5080", "transparent@5081"]})
    for right in rights:
        assert configured({**lan, **right}).gateway.enabled
