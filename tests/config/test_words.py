"""Mistakes in the shape of a configuration, in words that say what to write instead."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from enforcer.config.model import Config
from enforcer.config.words import in_words, written
from enforcer.errors import Mistakes

type Changes = dict[str, object]
type Refused = Callable[[Changes], list[str]]

TTL = "is not a whole number from 10 to 300; write one, as in 60"
DASH = "is not a list; write each item on a line of its own, after a dash"
ACKNOWLEDGED = "policy.notice.monitoring_notice_acknowledged"
ZONE = '{"corp.example": ["udp://192.0.2.10"]}'


def test_a_path_is_written_as_people_write_it() -> None:
    assert written(("realms", 0, "networks", 1)) == "realms[0].networks[1]"
    assert written(("node",)) == "node"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("polciy", "1", 'unknown key; did you mean "policy"?'),
        ("resolver.block_tll", "60", 'unknown key; did you mean "block_ttl"?'),
        ("resolver.soa.x", "60", 'unknown key; write one of "mname", "rname"'),
        ("resolver.block_ttl", 5, f'"5" {TTL}'),
        ("resolver.block_ttl", 301, f'"301" {TTL}'),
        ("resolver.block_ttl", 60.5, f'"60.5" {TTL}'),
        ("resolver.block_ttl", True, f'"true" {TTL}'),
        ("resolver.block_ttl", "a minute", f'"a minute" {TTL}'),
        ("resolver.block_ttl", [60], f"a list {TTL}"),
        ("metrics.devices", 1001, '"1001" is not a whole number from 0 to 1000; write one, as in 50'),
        ("attempts.aggregate_s", 3601, '"3601" is not a number from 0 to 3600; write one, as in 60'),
        ("attempts.aggregate_s", "1m", '"1m" is not a number from 0 to 3600; write one, as in 60'),
        ("attempts.aggregate_s", "nan", '"nan" is not a number from 0 to 3600; write one, as in 60'),
        ("attempts.fsync_s", 0, '"0" is not a number from 0.01 to 60; write one, as in 1'),
        ("resolver.cache.max_ttl", 0, '"0" is not a whole number from 1 to 86400; write one, as in 86400'),
        ("resolver.limits.tcp_clients", 0, '"0" is not a whole number from 1 to 100000; write one, as in 1000'),
        ("resolver.limits.tcp_per_client", 0, '"0" is not a whole number from 1 to 10000; write one, as in 20'),
        ("resolver.limits.tcp_idle_s", 0, '"0" is not a number from 1 to 300; write one, as in 10'),
        ("resolver.timeouts.attempt_s", 0, '"0" is not a number from 0.1 to 10; write one, as in 1'),
        ("resolver.timeouts.query_s", 60, '"60" is not a number from 0.1 to 30; write one, as in 5'),
        ("policy.ban", ["x"], "a list is not text; write one value"),
        ("policy.ban", "", 'missing; write it, as in ban: "tbs-2023-10-30"'),
        ("policy.ban", None, 'missing; write it, as in ban: "tbs-2023-10-30"'),
        ("policy.lists", "wechat.yaml", f'"wechat.yaml" {DASH}'),
        ("policy.lists", {"wechat": 1}, f"a mapping {DASH}"),
        ("policy.lists", [], 'empty; write at least one, as in ["wechat.yaml"]'),
        ("policy.lists", None, 'missing; write it, as in lists: ["wechat.yaml"]'),
        ("policy.notice", "x", '"x" is not a mapping; write keys and values, as in en: …'),
        ("resolver.local.forward", "x", f'"x" is not a mapping; write keys and values, as in {ZONE}'),
        ("resolver.local.forward.corp", [], f"empty; write at least one, as in {ZONE}"),
        (
            "resolver.local.forward.a!b",
            ["udp://192.0.2.1"],
            '"a!b" is not a domain name; write one, as in "hostmaster.dept.example"',
        ),
        ("identity.inventory", ["x"], "a list is not a mapping; write keys and values, as in file: …"),
        (ACKNOWLEDGED, "maybe", '"maybe" is not true or false; write one of them'),
        (ACKNOWLEDGED, ["x"], "a list is not true or false; write one of them"),
        ("policy", None, 'missing; write it, as in policy: {"lists": ["wechat.yaml"], "ban": "tbs-2023-10-30"}'),
    ],
)
def test_a_wrong_shape_is_refused_with_what_to_write(refused: Refused, path: str, value: object, said: str) -> None:
    assert refused({path: value}) == [f"{path}: {said}"]


def test_an_item_is_named_by_its_number(refused: Refused) -> None:
    assert refused({"realms": ["home", ""]}) == [
        'realms[0]: "home" is not a mapping; write keys and values, as in name: …',
        'realms[1]: "" is not a mapping; write keys and values, as in name: …',
    ]


@pytest.mark.parametrize("section", ["realms", "resolver.listeners"])
def test_lists_of_sections_are_not_empty(refused: Refused, section: str) -> None:
    (said,) = refused({section: []})
    assert said.startswith(f"{section}: empty; write at least one, as in [{{")


def test_a_finding_without_words_of_ours_is_told_all_the_same() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(UUID).validate_python("x")
    (error,) = caught.value.errors()
    assert in_words(error).startswith('"x" is refused (')


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=5)
LEAVES = st.booleans() | st.integers() | st.floats() | KEYS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=4
)
PATHS = [
    *("node", "data_dir", "policy", "policy.lists", "policy.third_party", "policy.mode", "policy.ban"),
    *("policy.notice", "policy.exemptions", "realms", "resolver", "resolver.listeners", "resolver.upstreams"),
    *("resolver.strategy", "resolver.sinkhole", "resolver.block_ttl", "resolver.soa", "resolver.ede.code"),
    *("resolver.cache.max_bytes", "resolver.nat64", "resolver.limits.tcp_idle_s", "resolver.timeouts"),
    *("resolver.chaos", "resolver.workers", "identity", "identity.inventory", "attempts.aggregate_s"),
    *("attempts.spool_max", "attempts.index", "metrics.listen"),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_whatever_is_written_loads_or_is_told_how_to_write_it(
    configured: Callable[[Changes], Config], path: str, value: object
) -> None:
    try:
        configured({path: value})
    except Mistakes as error:
        unhelpful = [mistake.what for mistake in error.mistakes if "; " not in mistake.what]
    else:
        unhelpful = []
    assert unhelpful == []
