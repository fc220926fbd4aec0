import dataclasses
import re
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList, Title
from enforcer.policy.names import display, parse
from enforcer.policy.rules import Answer, Confidence, Evidence, Kind, Mode, Rule
from enforcer.policy.verdict import Action, Client, Destination, Layer, Verdict
from tests.policy.made import CLIENT, NOW, PLAIN, a_list, a_policy, third_party, to

CHAT = a_list(
    "suffix: chat.test",
    "exact: pay.chat.test",
    r"regex: '^wx[0-9]+\.qq\.test$'",
    "exact: wx.qq.test",
    "suffix: media.chat.test",
    never_block=["exact: qq.test", "suffix: mail.qq.test"],
)


def judged(policy: Policy, name: str, client: Client = CLIENT, now: datetime = NOW) -> Verdict:
    return policy.judge(to(name), client, now)


def blocks(policy: Policy, destination: Destination, client: Client = CLIENT, now: datetime = NOW) -> bool:
    return policy.judge(destination, client, now).action is Action.BLOCK


def rule_of(verdict: Verdict) -> str | None:
    return None if verdict.rule is None else verdict.rule.id


# Names


@pytest.mark.parametrize(
    ("name", "rule", "matched"),
    [
        ("chat.test", "chat/suffix/chat.test", "chat.test"),
        ("a.b.chat.test", "chat/suffix/chat.test", "chat.test"),
        ("pay.chat.test", "chat/exact/pay.chat.test", "pay.chat.test"),
        ("a.pay.chat.test", "chat/suffix/chat.test", "chat.test"),
        ("a.media.chat.test", "chat/suffix/media.chat.test", "media.chat.test"),
        ("wx12.qq.test", r"chat/regex/^wx[0-9]+\.qq\.test$", "wx12.qq.test"),
        ("wx.qq.test", "chat/exact/wx.qq.test", "wx.qq.test"),
        ("a.wx.qq.test", None, None),
        ("a.wx12.qq.test", None, None),
        ("mychat.test", None, None),
        ("chat.test.org", None, None),
        ("qq.test", None, None),
        ("test", None, None),
        (".", None, None),
    ],
)
def test_exact_beats_regex_beats_the_longest_suffix(name: str, rule: str | None, matched: str | None) -> None:
    verdict = judged(a_policy(CHAT), name)
    assert rule_of(verdict) == rule
    assert verdict.matched == (None if matched is None else parse(matched))
    assert verdict.action is (Action.ALLOW if rule is None else Action.BLOCK)


@pytest.mark.parametrize("layer", list(Layer))
def test_a_name_rule_applies_to_every_layer_that_shows_a_name(layer: Layer) -> None:
    assert blocks(a_policy(CHAT), to("a.chat.test", layer))


def test_a_label_with_the_octets_of_a_suffix_in_it_is_another_name() -> None:
    policy = a_policy(CHAT)
    for name in (b"\x09chat.test\0", b"\x0ba\x04chat\x04test\0", b"\x0bwx1.qq.test\0"):
        assert not blocks(policy, Destination(Layer.DNS, name=name))


def test_a_pattern_does_not_take_a_dot_inside_of_a_label_for_a_border() -> None:
    policy = a_policy(a_list(r"regex: '^wx.+\.qq\.test$'"))
    assert blocks(policy, Destination(Layer.DNS, name=b"\x05wx1.2\x02qq\x04test\0"))
    assert not blocks(policy, Destination(Layer.DNS, name=b"\x06wx1.qq\x04test\0"))


def test_a_rule_for_a_whole_top_level_domain_is_found() -> None:
    policy = a_policy(a_list("suffix: example"), third_party("deep.a.test\n"))
    assert blocks(policy, to("a.b.example"))
    assert blocks(policy, to("example"))
    assert blocks(policy, to("x.deep.a.test"))
    assert not blocks(policy, to("a.test"))


# Answers


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a.chat.test", Answer.NXDOMAIN),
        ("pay.chat.test", Answer.NXDOMAIN),
        ("wx.qq.test", Answer.NODATA),
        ("wx1.qq.test", Answer.NODATA),
    ],
)
def test_nxdomain_is_said_only_where_everything_below_is_blocked_too(name: str, answer: Answer) -> None:
    assert judged(a_policy(CHAT), name).answer is answer


def test_a_suffix_that_only_observes_does_not_make_nxdomain_true() -> None:
    watched = a_list("suffix: qq.test", service="watched", more="mode: monitor")
    assert judged(a_policy(CHAT, watched), "wx.qq.test").answer is Answer.NODATA


def test_a_third_party_suffix_above_a_protected_name_is_answered_nodata() -> None:
    policy = a_policy(CHAT, third_party("qq.test\nads.test\n"))
    assert judged(policy, "ads.test").answer is Answer.NXDOMAIN
    assert judged(policy, "www.qq.test").answer is Answer.NODATA
    assert judged(policy, "a.mail.qq.test").action is Action.ALLOW


def test_the_list_says_how_it_is_answered_else_the_policy() -> None:
    null = a_list("suffix: null.test", "exact: one.test", service="null", more="answer: 'null'")
    policy = a_policy(CHAT, null, settings=PolicySettings(answer=Answer.SINKHOLE))
    assert judged(policy, "chat.test").answer is Answer.SINKHOLE
    assert judged(policy, "wx.qq.test").answer is Answer.SINKHOLE
    assert judged(policy, "null.test").answer is Answer.NULL
    assert judged(policy, "one.test").answer is Answer.NULL


def test_a_blocked_address_has_no_name_to_deny() -> None:
    verdict = a_policy(a_list("cidr: 203.0.113.0/24")).judge(to(address="203.0.113.7"), CLIENT, NOW)
    assert (verdict.action, verdict.matched, verdict.answer) == (Action.BLOCK, None, Answer.NODATA)


# Addresses, ports, fingerprints, paths

ADDRESSES = a_policy(
    a_list(
        "cidr: 203.0.113.0/24",
        "cidr: 203.0.113.128/25",
        "cidr: 203.0.113.200/32",
        'cidr: "2001:db8::/48"',
        "cidr: 0.0.0.0/0, ports: [tcp/853, udp/853]",
    )
)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("203.0.113.1", "203.0.113.0/24"),
        ("203.0.113.129", "203.0.113.128/25"),
        ("203.0.113.200", "203.0.113.200/32"),
        ("203.0.114.1", None),
        ("2001:db8:0:1::5", "2001:db8::/48"),
        ("2001:db8:1::5", None),
        ("::ffff:203.0.113.200", "203.0.113.200/32"),
        ("64:ff9b::203.0.113.129", "203.0.113.128/25"),
        ("64:ff9b:1::203.0.113.129", None),
    ],
)
@pytest.mark.parametrize("layer", [Layer.DNS, Layer.IP, Layer.TLS])
def test_the_longest_prefix_decides_and_ipv4_inside_of_ipv6_is_ipv4(
    layer: Layer, address: str, rule: str | None
) -> None:
    verdict = ADDRESSES.judge(to(layer=layer, address=address), CLIENT, NOW)
    assert rule_of(verdict) == (None if rule is None else f"chat/cidr/{rule}")


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_nat64_prefixes_of_every_length_of_rfc_6052_section_2_4_are_seen_through(network: str, address: str) -> None:
    policy = a_policy(a_list("cidr: 192.0.2.33/32"), settings=PolicySettings(nat64=(IPv6Network(network),)))
    assert blocks(policy, to(address=address))


def test_a_rule_with_ports_needs_the_port_and_never_applies_to_dns() -> None:
    assert blocks(ADDRESSES, to(layer=Layer.IP, address="9.9.9.9", port="tcp/853"))
    assert not blocks(ADDRESSES, to(layer=Layer.IP, address="9.9.9.9", port="tcp/443"))
    assert not blocks(ADDRESSES, to(layer=Layer.IP, address="9.9.9.9"))
    assert not blocks(ADDRESSES, to(layer=Layer.DNS, address="9.9.9.9", port="udp/853"))


def test_a_fingerprint_matches_only_where_one_was_seen() -> None:
    policy = a_policy(a_list("fingerprint: mmtls"))
    assert blocks(policy, to(layer=Layer.MMTLS, fingerprint="mmtls", address="192.0.2.1"))
    assert not blocks(policy, to(layer=Layer.MMTLS, address="192.0.2.1"))
    assert not blocks(policy, to(layer=Layer.MMTLS, fingerprint="other"))


PATHS = a_policy(a_list("http_path: /mmtls/", "http_path: dl.test/app/", "http_path: dl.test/app/chat/"))


@pytest.mark.parametrize(
    ("host", "path", "rule"),
    [
        ("any.test", "/mmtls/00ab", "/mmtls/"),
        (None, "/mmtls/00ab", "/mmtls/"),
        ("dl.test", "/app/x", "dl.test/app/"),
        ("dl.test", "/app/chat/x", "dl.test/app/chat/"),
        ("dl.test", "/other/app/", None),
        ("a.dl.test", "/app/x", None),
        (None, "/app/x", None),
        ("dl.test", "/", None),
    ],
)
def test_a_path_matches_from_its_first_slash_and_for_its_host(host: str | None, path: str, rule: str | None) -> None:
    verdict = PATHS.judge(to(host, Layer.HTTP, path=path), CLIENT, NOW)
    assert rule_of(verdict) == (None if rule is None else f"chat/http_path/{rule}")


def test_a_path_counts_in_http_only() -> None:
    assert not blocks(PATHS, to("any.test", Layer.TLS, path="/mmtls/"))


def test_of_several_things_shown_the_name_comes_first_then_path_fingerprint_and_address() -> None:
    policy = a_policy(
        a_list("cidr: 203.0.113.0/24", "fingerprint: mmtls", "http_path: /x", "suffix: chat.test"),
        third_party("ads.test\n"),
    )
    everything = to("chat.test", Layer.HTTP, path="/x", fingerprint="mmtls", address="203.0.113.1")
    without = dataclasses.replace
    steps = (
        (everything, Kind.SUFFIX),
        (no_name := without(everything, name=None), Kind.HTTP_PATH),
        (no_path := without(no_name, path=None), Kind.FINGERPRINT),
        (without(no_path, fingerprint=None), Kind.CIDR),
    )
    for shown, kind in steps:
        rule = policy.judge(shown, CLIENT, NOW).rule
        assert rule is not None
        assert rule.kind is kind
    assert rule_of(policy.judge(to("ads.test", address="203.0.113.1"), CLIENT, NOW)) == "chat/cidr/203.0.113.0/24"


# Time, exemptions, modes


def test_a_rule_ends_on_the_day_it_expires_while_the_policy_runs() -> None:
    policy = a_policy(a_list("suffix: chat.test, expires: 2027-01-01"))
    end = datetime(2027, 1, 1, tzinfo=UTC)
    assert blocks(policy, to("chat.test"), now=end - timedelta(microseconds=1))
    assert not blocks(policy, to("chat.test"), now=end)
    assert blocks(policy, to("chat.test"), now=datetime(2027, 1, 1, 5, tzinfo=timezone(timedelta(hours=6))))


def test_when_a_rule_ends_a_wider_one_takes_over() -> None:
    policy = a_policy(a_list("suffix: chat.test", "exact: a.chat.test, expires: 2020-01-01"))
    assert rule_of(judged(policy, "a.chat.test")) == "chat/suffix/chat.test"


def test_an_exemption_is_for_one_service_and_ends() -> None:
    policy = a_policy(CHAT, a_list("suffix: other.test", service="other"))
    exempt = Client("office", exempt={"chat": NOW + timedelta(seconds=1)})
    assert not blocks(policy, to("chat.test"), exempt)
    assert blocks(policy, to("chat.test"), exempt, NOW + timedelta(seconds=1))
    assert blocks(policy, to("other.test"), exempt)


def test_an_exemption_does_not_open_what_another_service_blocks() -> None:
    policy = a_policy(CHAT, a_list("suffix: test", service="other"))
    verdict = judged(policy, "chat.test", Client("office", exempt={"chat": NOW + timedelta(hours=1)}))
    assert (verdict.action, rule_of(verdict)) == (Action.BLOCK, "other/suffix/test")


@pytest.mark.parametrize(
    ("client", "more", "action"),
    [
        (Mode.ENFORCE, "", Action.BLOCK),
        (Mode.MONITOR, "", Action.OBSERVE),
        (Mode.ENFORCE, "mode: monitor", Action.OBSERVE),
        (Mode.MONITOR, "mode: monitor", Action.OBSERVE),
    ],
)
def test_any_one_mode_of_monitor_makes_a_block_an_observation(client: Mode, more: str, action: Action) -> None:
    made = a_policy(a_list("suffix: chat.test", more=more))
    verdict = judged(made, "chat.test", Client("office", mode=client))
    assert (verdict.action, rule_of(verdict)) == (action, "chat/suffix/chat.test")


def test_a_list_that_only_observes_does_not_open_what_another_one_blocks() -> None:
    watched = a_list("exact: a.chat.test", service="watched", more="mode: monitor")
    verdict = judged(a_policy(watched, CHAT), "a.chat.test")
    assert (verdict.action, rule_of(verdict)) == (Action.BLOCK, "chat/suffix/chat.test")


def test_of_two_lists_with_the_same_rule_the_first_is_reported() -> None:
    other = a_list("suffix: chat.test", service="other")
    assert rule_of(judged(a_policy(CHAT, other), "chat.test")) == "chat/suffix/chat.test"
    assert rule_of(judged(a_policy(other, CHAT), "chat.test")) == "other/suffix/chat.test"


def test_our_own_upstreams_are_no_bypass() -> None:
    bypass = a_list("exact: dns.quad.test", "cidr: 9.9.9.9/32", "suffix: doh.test", service="bypass")
    ours = PolicySettings(upstreams=("9.9.9.9",))
    policy = a_policy(bypass, settings=ours)
    assert not blocks(policy, to("dns.quad.test", Layer.TLS, address="9.9.9.9"))
    assert not blocks(policy, to(layer=Layer.IP, address="9.9.9.9"))
    assert not blocks(policy, to(layer=Layer.IP, address="::ffff:9.9.9.9"))
    assert blocks(policy, to("dns.quad.test"))
    assert blocks(policy, to("doh.test"))
    assert blocks(a_policy(bypass), to(layer=Layer.IP, address="9.9.9.9"))
    assert blocks(a_policy(a_list("cidr: 9.9.9.9/32"), settings=ours), to(layer=Layer.IP, address="9.9.9.9"))


# Third-party lists


def test_a_third_party_rule_says_where_it_stands() -> None:
    policy = a_policy(third_party("# ads\nads.test\n"), settings=PolicySettings(ban="tbs-1"))
    assert judged(policy, "a.ads.test").rule == Rule(
        kind=Kind.SUFFIX,
        trigger="ads.test",
        list="others",
        file="others.txt",
        line=2,
        service="others",
        part="other",
        evidence=Evidence.SHARED,
        confidence=Confidence.SINGLE,
        source="others",
        ban="tbs-1",
    )


def test_protections_beat_third_party_lists_alone() -> None:
    policy = a_policy(CHAT, a_list("suffix: mail.qq.test", service="mail"), third_party("qq.test\npush.apple.com\n"))
    assert not blocks(policy, to("qq.test"))
    assert not blocks(policy, to("17-courier.push.apple.com"))
    assert blocks(policy, to("news.qq.test"))
    assert rule_of(judged(policy, "a.mail.qq.test")) == "mail/suffix/mail.qq.test"


def test_our_own_lists_are_asked_before_third_party_ones() -> None:
    policy = a_policy(third_party("0.0.0.0 a.chat.test\n"), CHAT)
    assert rule_of(judged(policy, "a.chat.test")) == "chat/suffix/chat.test"


def test_a_third_party_list_passes_only_what_it_would_block_itself() -> None:
    passing = third_party("||ads.test^\n||chat.test^\n@@||ok.ads.test^\n@@||ok.chat.test^\n", "one")
    policy = a_policy(CHAT, passing)
    assert not blocks(policy, to("a.ok.ads.test"))
    assert blocks(policy, to("ads.test"))
    assert judged(policy, "ads.test").answer is Answer.NODATA
    assert blocks(policy, to("a.ok.chat.test"))
    second = third_party("ok.ads.test\n", "two")
    assert rule_of(judged(a_policy(passing, second), "a.ok.ads.test")) == "two/suffix/ok.ads.test"


def test_exact_names_of_third_party_lists_beat_their_suffixes() -> None:
    policy = a_policy(third_party("ads.test\n", "one"), third_party("0.0.0.0 a.ads.test\n", "two"))
    assert rule_of(judged(policy, "a.ads.test")) == "two/exact/a.ads.test"
    assert rule_of(judged(policy, "b.a.ads.test")) == "one/suffix/ads.test"


# The policy about itself


def test_a_policy_counts_its_rules_by_service_and_kind() -> None:
    policy = a_policy(CHAT, third_party("a.test\nb.test\n", service="chat"))
    assert dict(policy.rules_by) == {("chat", "suffix"): 4, ("chat", "exact"): 2, ("chat", "regex"): 1}


def test_a_policy_knows_its_services_and_their_titles() -> None:
    more = a_list("suffix: more.test", name="chat-more")
    policy = a_policy(CHAT, dataclasses.replace(more, title=Title("More", "Plus")), third_party("a.test\n"))
    assert policy.services == ("chat", "others")
    assert policy.titles == {"chat": Title("Chat", "Causette"), "others": Title("others", "others")}


def test_the_ruleset_is_the_beginning_of_the_sha_256() -> None:
    data = compile_policy([CHAT], [], PLAIN)
    assert re.fullmatch("[0-9a-f]{12}", Policy.load(data).ruleset)
    assert Policy.load(data).ruleset != a_policy().ruleset
    assert Policy.load(data, "0123456789ab").ruleset == "0123456789ab"


@pytest.mark.parametrize(
    ("part", "damage"),
    [(b"chat.test", b"chat,test"), (b"push.apple.com", b"push,apple.com"), (b"203.0.113.0/24", b"203.0.113.0!24")],
)
def test_a_policy_with_a_damaged_trigger_is_corrupt(part: bytes, damage: bytes) -> None:
    data = compile_policy([a_list("suffix: chat.test", "cidr: 203.0.113.0/24")], [], PLAIN)
    with pytest.raises(Corrupt):
        Policy.load(data.replace(part, damage))


def test_what_is_no_compiled_policy_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        Policy.load(b"no policy")


# Laws, against a reference that does everything the plain way

WORDS = st.sampled_from(["a", "b", "wx1", "chat", "qq", "test", "mail"])
NAMES = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
NAME_RULES = st.tuples(st.sampled_from(["exact", "suffix"]), NAMES).map(": ".join)
PATTERNS = st.sampled_from(
    [r"regex: '^wx[0-9]\.qq\.test$'", r"regex: '^[a-z.]+\.chat\.(a|test)$'", r"regex: '^a(\.b)?\.qq$'"]
)
EXPIRY = st.sampled_from(["", ", expires: 2020-01-01", ", expires: 2099-01-01"])
RULES = st.lists(
    st.tuples(NAME_RULES | PATTERNS, EXPIRY).map("".join),
    min_size=1,
    max_size=6,
    unique_by=lambda rule: rule.split(",")[0],
)
PROTECTED = st.lists(st.tuples(st.sampled_from(["exact", "suffix"]), NAMES), max_size=3, unique=True)
OTHERS = st.lists(st.tuples(st.booleans(), NAMES.filter(lambda name: "." in name)), max_size=6, unique=True)


@dataclasses.dataclass(frozen=True)
class World:
    """Lists as generated: own rules and protections by service, third-party suffixes and passes."""

    own: dict[str, tuple[list[str], list[tuple[str, str]], str]]
    others: list[tuple[bool, str]]

    @property
    def lists(self) -> list[BlockList]:
        """Protections of a list never meet its own rules here: they stand in a list of their own."""
        lists = [a_list(*rules, service=service, more=mode) for service, (rules, _, mode) in self.own.items()]
        kept = {f"{kind}: {name}" for _, protected, _ in self.own.values() for kind, name in protected}
        return [*lists, a_list("exact: unrelated.invalid", never_block=sorted(kept), service="kept")]

    def policy(self) -> Policy:
        text = "! adblock\n" + "".join(f"{'@@' if passes else ''}||{name}^\n" for passes, name in self.others)
        return a_policy(*self.lists, third_party(text))


WORLDS = st.builds(
    World,
    st.dictionaries(
        st.sampled_from(["one", "two"]),
        st.tuples(RULES, PROTECTED, st.sampled_from(["", "mode: monitor"])),
        max_size=2,
    ),
    OTHERS,
)
EXEMPT = st.dictionaries(st.sampled_from(["one", "two", "others"]), st.sampled_from([NOW, NOW + timedelta(hours=1)]))


def below(name: str, suffix: str) -> bool:
    return f".{name}".endswith(f".{suffix}")


def reference(world: World, name: str, client: Client, now: datetime) -> Action:
    """Each rule of each list in turn, compared as text."""
    actions = []
    for each in world.lists:
        for rule in each.rules:
            match rule.kind:
                case Kind.EXACT:
                    matches = name == rule.trigger
                case Kind.SUFFIX:
                    matches = below(name, rule.trigger)
                case _:
                    matches = re.search(rule.trigger, name) is not None
            expired = rule.expires is not None and now.date() >= rule.expires
            exempt = rule.service in client.exempt and now < client.exempt[rule.service]
            if matches and not expired and not exempt:
                actions.append(Action.OBSERVE if rule.mode is Mode.MONITOR else Action.BLOCK)
    kept = [each for one in world.lists for each in one.never_block]
    protected = any(name == k.name or (k.kind is Kind.SUFFIX and below(name, k.name)) for k in kept)
    passed = any(passes and below(name, suffix) for passes, suffix in world.others)
    listed = any(not passes and below(name, suffix) for passes, suffix in world.others)
    exempt = "others" in client.exempt and now < client.exempt["others"]
    if listed and not protected and not passed and not exempt:
        actions.append(Action.BLOCK)
    if client.mode is Mode.MONITOR:
        actions = [Action.OBSERVE for _ in actions]
    return Action.BLOCK if Action.BLOCK in actions else actions[0] if actions else Action.ALLOW


def asked(world: World, names: list[str]) -> list[str]:
    """The generated names, and those that the rules speak of with one below each."""
    triggers = [rule.trigger for each in world.lists for rule in each.rules if rule.kind in {Kind.EXACT, Kind.SUFFIX}]
    spoken = [*names, *triggers, *(name for _, name in world.others)]
    return [*spoken, *(f"x.{name}" for name in spoken)]


@given(WORLDS, st.lists(NAMES, max_size=5), EXEMPT, st.sampled_from(Mode))
def test_judge_agrees_with_a_plain_reading_of_the_rules(
    world: World, names: list[str], exempt: dict[str, datetime], mode: Mode
) -> None:
    policy = world.policy()
    client = Client("office", mode, exempt)
    for name in asked(world, names):
        assert judged(policy, name, client).action is reference(world, name, client, NOW), name


@given(WORLDS, st.lists(NAMES, max_size=5))
def test_nothing_below_a_name_that_is_denied_is_allowed(world: World, names: list[str]) -> None:
    policy = world.policy()
    for name in asked(world, names):
        verdict = judged(policy, name)
        if verdict.action is Action.BLOCK and verdict.answer is Answer.NXDOMAIN and verdict.matched is not None:
            for other in asked(world, names):
                if below(other, display(verdict.matched)) and other != display(verdict.matched):
                    assert judged(policy, other).action is Action.BLOCK, (name, other)


@given(WORLDS, st.lists(NAMES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_lines_never_changes_an_action(world: World, names: list[str], random: Random) -> None:
    shuffled = World(
        {service: (list(rules), kept, mode) for service, (rules, kept, mode) in world.own.items()}, list(world.others)
    )
    for rules, _, _ in shuffled.own.values():
        random.shuffle(rules)
    random.shuffle(shuffled.others)
    one, other = world.policy(), shuffled.policy()
    for name in asked(world, names):
        assert judged(one, name).action is judged(other, name).action


@given(WORLDS, st.lists(NAMES, max_size=5), PROTECTED, st.sampled_from(["one", "two", "others"]))
def test_one_more_protection_or_exemption_never_blocks_more(
    world: World, names: list[str], more: list[tuple[str, str]], service: str
) -> None:
    policy = world.policy()
    safer = World(world.own | {"three": (["exact: unrelated.three"], more, "")}, world.others).policy()
    exempt = Client("office", exempt={service: NOW + timedelta(hours=1)})
    for name in asked(world, names):
        if not blocks(policy, to(name)):
            assert not blocks(safer, to(name))
            assert not blocks(policy, to(name), exempt)


@given(WORLDS, NAMES)
def test_letter_case_never_matters(world: World, name: str) -> None:
    policy = world.policy()
    assert judged(policy, name.upper()) == judged(policy, name)


@given(WORLDS, st.lists(NAMES, max_size=3))
def test_explaining_changes_nothing_but_the_words(world: World, names: list[str]) -> None:
    policy = world.policy()
    for name in asked(world, names):
        explained = policy.judge(to(name), CLIENT, NOW, explain=True)
        assert explained.why
        assert dataclasses.replace(explained, why=()) == judged(policy, name)
