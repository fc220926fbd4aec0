"""From a file to a configuration, or to every mistake in it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from enforcer.config.load import check_services, load
from enforcer.config.model import Config
from enforcer.config.section import Section
from enforcer.errors import Mistake, Mistakes, Unavailable
from enforcer.policy.rules import Mode

ROOT = Path(__file__).parents[2]
# A key, or an item with keys, that is put into a comment.
RADIUS = ("radius.pem", "radius.key", "gateways-ca.pem", "redis.secret")
COMMENTED_KEY = re.compile(r"^( *)# ((?: *- | {4}| {2})?[a-z_]+:(?= |$))", re.MULTILINE)

RIGHT = """\
policy:
  lists: [wechat.yaml]
  ban: ${env:COLOUR}
  exemptions:
    - {device: dev-1, reason: lab, approved_by: CISO, until: 2027-03-31, services: [kasperski]}
realms:
  - {name: home, networks: [127.0.0.0/8, "::1"], listeners: [dns]}
resolver:
  block_ttl: ${env:TTL}
  listeners:
    - {name: dns, udp: "127.0.0.1:5300", tcp: "127.0.0.1:5300"}
cache:
"""


def test_variables_are_read_as_what_they_stand_for(load_text: Callable[[str], Config]) -> None:
    config = load_text(RIGHT.replace("cache:\n", ""))
    assert config.policy.ban == "green"
    assert config.resolver.block_ttl == 90


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines(mistakes: Callable[[str], list[str]]) -> None:
    assert mistakes(
        """\
node: gw
console: {idle_minutes: 0}
policy:
  lists: [wechat.yaml]
  mode: enforced
realms:
  - {name: a, networks: [10.0.0.0/8], listeners: [dns]}
  - name: b
    networks: [10.2.0.0/16]
    listeners: [dsn]
resolver:
  block_ttl: 5
  chaos: ${env:VERSION}
  listeners:
    - {name: dns, udp: "127.0.0.1:5300", tcp: "127.0.0.1:5300"}
    - name: dns
      udp: "127.0.0.1:5300"
      tcp: "127.0.0.1:5301"
node: gw2
"""
    ) == [
        '2: console.idle_minutes: "0" is not a whole number from 1 to 1440; write one, as in 30',
        '3: policy.ban: missing; write it, as in ban: "tbs-2023-10-30"',
        '5: policy.mode: "enforced" is not a choice here; did you mean "enforce"?',
        '12: resolver.block_ttl: "5" is not a whole number from 10 to 300; write one, as in 60',
        '13: resolver.chaos: "VERSION" is not in the environment; set it, or write the value',
        '19: key "node" is written twice, first in line 1; keep one',
    ]


def test_contradictions_are_told_along_with_wrong_values(mistakes: Callable[[str], list[str]]) -> None:
    text = RIGHT.replace("cache:\n", "").replace("listeners: [dns]", "listeners: [dns, dsn]")
    assert mistakes(
        text.replace("${env:TTL}", "5") + "metrics: {listen: '127.0.0.1:5300', device: 3}\nresolvre: x\n"
    ) == [
        '7: realms[0].listeners[1]: "dsn" is not a listener of the resolver; did you mean "dns"?',
        '9: resolver.block_ttl: "5" is not a whole number from 10 to 300; write one, as in 60',
        '12: metrics.device: unknown key; did you mean "devices"?',
        '12: metrics.listen: "127.0.0.1:5300" is taken by listener "dns"; write another address or port',
        '13: resolvre: unknown key; did you mean "resolver"?',
    ]


def test_a_wrong_value_does_not_make_others_contradict(mistakes: Callable[[str], list[str]]) -> None:
    text = RIGHT.replace("cache:\n", "").replace("block_ttl: ${env:TTL}", "answer: sinkhole\n  sinkhole: [x]")
    assert mistakes(text) == [
        '10: resolver.sinkhole[0]: "x" is not an IP address; write one, as in "192.0.2.80" or "2001:db8::80"'
    ]


def test_items_that_are_wrong_are_not_also_too_few(mistakes: Callable[[str], list[str]]) -> None:
    text = RIGHT.replace("cache:\n", "").replace('[127.0.0.0/8, "::1"]', "[x]")
    assert mistakes(text) == [
        '7: realms[0].networks[0]: "x" is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"'
    ]


def test_a_key_without_a_variable_is_not_missing_too(mistakes: Callable[[str], list[str]]) -> None:
    text = RIGHT.replace("cache:\n", "").replace("COLOUR", "BAN")
    assert mistakes(text) == ['3: policy.ban: "BAN" is not in the environment; set it, or write the value']


def test_an_empty_file_misses_what_has_no_default(mistakes: Callable[[str], list[str]]) -> None:
    assert [mistake.partition(";")[0] for mistake in mistakes("")] == [
        "1: policy: missing",
        "1: realms: missing",
        "1: resolver: missing",
    ]


def test_a_file_that_is_not_a_mapping_is_refused(mistakes: Callable[[str], list[str]]) -> None:
    assert mistakes("- a\n") == ["1: a list is not a mapping; write keys and values, as in node: …"]


def test_a_file_that_is_not_yaml_has_one_mistake(mistakes: Callable[[str], list[str]]) -> None:
    (mistake,) = mistakes("a: 1\nb: [\n")
    assert mistake.startswith("3: not YAML: ")


def test_a_mistake_names_the_file_as_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("node: a b\n")
    with pytest.raises(Mistakes) as caught:
        load(tmp_path / "x.yaml")
    assert str(caught.value.mistakes[0]).startswith(f"{tmp_path}/x.yaml:1: ")


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        load(tmp_path / "enforcer.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/enforcer.yaml: cannot be read (No such file or directory); "
        'name another file, or start from "deploy/enforcer.yaml"'
    )


def test_an_exempt_service_that_no_list_bans_is_told_with_its_line(
    load_text: Callable[[str], Config], tmp_path: Path
) -> None:
    config, path = load_text(RIGHT.replace("cache:\n", "")), tmp_path / "enforcer.yaml"
    assert check_services(path, config, ["kasperski"]) == ()
    assert check_services(path, config, ["kaspersky", "wechat"]) == (
        Mistake(
            str(path),
            5,
            'policy.exemptions[0].services[0]: "kasperski" is not a service of the lists in force; '
            'did you mean "kaspersky"?',
        ),
    )


def sections(annotation: object) -> Iterator[type[Section]]:
    """Every section that a type is or holds."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, Section):
            yield inner
            for field in inner.model_fields.values():
                yield from sections(field.annotation)


CONFIGURATIONS = [ROOT / "deploy" / "enforcer.yaml", ROOT / "deploy" / "demo" / "enforcer.yaml"]


def shipped(name: str) -> Path | None:
    """The shipped list of that name."""
    path = ROOT / "blocklists" / name
    return path if path.is_file() else None


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_configuration_in_deploy_loads(path: Path) -> None:
    assert load(path, shipped, {}).policy.ban == "tbs-2023-10-30"


SECRETS = ("hec-token", "elastic-key", "kafka-password")


PAGES = ("console.pem", "console.key", "oidc-secret", "login-ca.pem")


def test_what_the_production_example_has_in_comments_loads_too(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "enforcer.yaml").read_text(encoding="utf-8")
    for file in (
        "devices.csv",
        "lists.pub",
        "dns.pem",
        "dns.key",
        "devices-ca.pem",
        "tokens.txt",
        "ca.pem",
        "cookie.secret",
        *RADIUS,
        *SECRETS,
        *PAGES,
    ):
        (tmp_path / file).touch()
    (tmp_path / "enforcer.yaml").write_text(COMMENTED_KEY.sub(r"\1\2", text), encoding="utf-8")
    config = load(tmp_path / "enforcer.yaml", shipped, {})
    assert config.node == "gw-ottawa-1"
    assert config.policy.third_party[0].max_bad_lines == 100
    assert config.policy.exemptions[0].device == "dev-7f3a91c2"
    assert config.realms[0].mode is Mode.MONITOR
    assert config.realms[1].networks == ()
    assert config.resolver.listeners[2].demands_proof
    assert config.resolver.sinkhole
    assert config.resolver.ede.structured.option == 65400
    assert config.resolver.limits.device_options == (65001, 65074)
    assert config.resolver.chaos == "enforcer"
    assert config.identity.inventory is not None
    assert [client.name for client in config.identity.radius[0].clients] == [None, "pgw2.dept.example"]
    assert config.console is not None
    assert config.console.oidc is not None
    assert config.console.oidc.roles == {"enforcer-reviewers": "reviewer", "enforcer-auditors": "auditor"}
    assert config.block_page is not None
    assert [sink.label for sink in config.attempts.sinks] == ["soc", "splunk", "elastic", "kafka", "file"]


def test_the_production_example_has_every_key(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "enforcer.yaml").read_text(encoding="utf-8")
    keys = {key for section in sections(Config) for key in section.model_fields}
    assert sorted(key for key in keys if not re.search(rf"\b{key}:", text)) == []
