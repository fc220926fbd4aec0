from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from enforcer.attempts.attempt import Event
from enforcer.blocklists import compile_to
from enforcer.blocklists import load as load_lists
from enforcer.config.policy import Exemption
from enforcer.console.asked import Wrong
from enforcer.console.pages.policy import held, judged, shown
from enforcer.orders import Orders, encode_orders
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.verdict import Action, Destination, Layer
from tests.cli.site import LIST
from tests.console.lab import Lab
from tests.records import NOON_MS, moment

NOON = moment(NOON_MS)


def test_lists_exemptions_and_what_is_left_of_them(shared: TestClient) -> None:
    page = shared.get("/policy").text
    for text in ("6 rules", "Example Ltd.", "2026.11.1", "dept-2026-04", "group laboratory", "Director", "128 days"):
        assert text in page
    assert "The log knows of no version before this one." in page


def test_exemptions_that_end_first_are_in_front_and_ended_ones_last() -> None:
    until = {"a": NOON + timedelta(days=9), "b": NOON - timedelta(days=1), "c": NOON + timedelta(days=2)}
    exemptions = [
        Exemption.model_validate(
            {"device": name, "services": ["chat"], "until": end.isoformat(), "reason": "r", "approved_by": "x"}
        )
        for name, end in until.items()
    ]
    assert [(each.exemption.device, each.days) for each in held(exemptions, NOON)] == [("c", 2), ("a", 9), ("b", 0)]


@pytest.mark.parametrize(
    ("target", "action", "what"),
    [
        ("a.chat.test", Action.BLOCK, "a.chat.test"),
        ("A.CHAT.test:443", Action.BLOCK, "a.chat.test"),
        ("canada.test", Action.ALLOW, "canada.test"),
        ("http://192.0.2.1/chat/x?q=1", Action.BLOCK, "192.0.2.1 tcp/80"),
        ("http://other.test/chat/x", Action.BLOCK, "other.test/chat/x"),
        ("https://other.test/chat/x", Action.ALLOW, "other.test"),
        ("198.51.100.7", Action.BLOCK, "198.51.100.7"),
        ("[2001:db8::1]:443", Action.ALLOW, "2001:db8::1 tcp/443"),
        ("2001:db8::1", Action.ALLOW, "2001:db8::1"),
    ],
)
def test_what_would_happen(shared: TestClient, lab: Lab, target: str, action: Action, what: str) -> None:
    tried = judged(lab.site.policies.in_force(), target, NOON)
    assert (tried.verdict.action, tried.shown) == (action, what)
    assert shared.get("/policy", params={"target": target}).status_code == 200


@pytest.mark.parametrize("target", ["a..b", "http://", "1.2.3.4:99999", "https://[x]/", "x:0"])
def test_what_is_no_target(lab: Lab, target: str) -> None:
    with pytest.raises(Wrong):
        judged(lab.site.policies.in_force(), target, NOON)


def test_destinations_are_shown_in_a_word() -> None:
    assert shown(Destination(Layer.MMTLS, fingerprint="mmtls")) == "mmtls"
    assert shown(Destination(Layer.HTTP, path="/x")) == "/x"


def change(lab: Lab, text: str) -> str:
    """Put another version of the list in force, as the hub does; returns its number."""
    folder = Path(lab.folder)
    (folder / "chat.yaml").write_text(text)
    lists = load_lists(lab.config.policy.lists, (), folder / "copies", NOON.date())
    old = lab.site.policies.in_force().ruleset
    new = compile_to(lab.config.data_dir / "policy", lists.own, (), PolicySettings(ban=lab.config.policy.ban))
    (lab.config.data_dir / "run" / "orders").write_bytes(encode_orders(Orders(2, new.name)))
    lab.write(Event("reload", NOON_MS, "gw-1", {"old": old, "new": new.name[:12], "who": "j.tremblay"}))
    return old


def test_what_the_last_version_changed(lab: Lab) -> None:
    cdn = "  - {exact: cdn.test, part: media, evidence: web, confidence: single, source: CAP, seen: 2026}\n"
    text = (
        LIST.replace(cdn, "")
        .replace("part: general", "part: other")
        .replace("rules:\n", f"rules:\n{cdn.replace('cdn', 'new')}")
    )
    old = change(lab, text)
    page = lab.client().get("/policy").text
    for each in (
        f"{old} →",
        "j.tremblay",
        "1 rule added, 1 removed, 1 altered, 2 verdicts differ",
        "chat/exact/new.test",
        "chat/exact/cdn.test",
        "part: general → other",
        "blocked → allowed",
    ):
        assert each in page, each
    (
        lab.config.data_dir
        / "policy"
        / next(path.name for path in (lab.config.data_dir / "policy").iterdir() if path.name.startswith(old))
    ).unlink()
    lab.site.policies._open.clear()
    assert "is no longer kept" in lab.client().get("/policy").text


def test_a_list_with_every_rule_and_its_source(shared: TestClient) -> None:
    page = shared.get("/policy/lists/chat").text
    for text in (
        "msg.chat.test",
        "the vendor&#39;s page on firewalls",
        "official source",
        "2026-12-24",
        "mail.test",
        "udp/853",
    ):
        assert text in page
    found = shared.get("/policy/lists/chat?find=MSG").text
    assert "msg.chat.test" in found
    assert "cdn.test" not in found
    assert shared.get("/policy/lists/none").status_code == 404
