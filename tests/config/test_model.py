import socket
from collections.abc import Callable
from pathlib import Path

from enforcer.config.model import Config, upstream_labels
from enforcer.policy.rules import Mode

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_the_node_is_this_machine_and_data_are_where_systemd_keeps_them(configured: Configured) -> None:
    config = configured({})
    assert (config.node, config.data_dir) == (socket.gethostname(), Path("/var/lib/enforcer"))


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


def test_upstreams_are_labelled_by_their_numbers_what_is_forwarded_first(configured: Configured) -> None:
    forward = {"Corp.Example": ["tls://192.0.2.10#dns.corp.example"]}
    config = configured({"resolver.upstreams": ["udp://192.0.2.1"], "resolver.local": {"forward": forward}})
    assert upstream_labels(config) == ("corp.example tls://192.0.2.10#dns.corp.example", "udp://192.0.2.1")
