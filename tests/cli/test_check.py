"""The verdict at the command line: the same words for the same lists, every time."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.site import CONFIG, Run, write_config
from tests.records import NOON_MS, moment


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.cli.check.utc_now", lambda: moment(NOON_MS))


def test_each_target_has_a_line_and_one_block_makes_the_exit_status_1(run: Run, site: Path) -> None:
    result = run("check", "www.canada.ca", "a.msg.chat.test", "http://192.0.2.1/chat/x", "203.0.113.9:853")
    assert result.stdout == (
        "allow    www.canada.ca\n"
        f"block    a.msg.chat.test  chat messaging  chat/suffix/msg.chat.test  {site}/chat.yaml:11\n"
        f"block    http://192.0.2.1/chat/x  chat messaging  chat/http_path//chat/  {site}/chat.yaml:13\n"
        f"block    203.0.113.9:853  chat messaging  chat/cidr/203.0.113.0/24  {site}/chat.yaml:14\n"
    )
    assert result.exit_code == 1


def test_all_allowed_is_exit_status_0(run: Run, site: Path) -> None:
    result = run("check", "www.canada.ca", "203.0.113.9:443", "mail.test")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["allow"] * 3


def test_what_is_no_target_is_named_and_the_others_are_still_judged(run: Run, site: Path) -> None:
    result = run("check", "chat,test", "chat.test")
    assert result.stderr == '"chat,test" is not a domain name; did you mean "chat.test"?\n'
    assert result.stdout.startswith("block    chat.test")
    assert result.exit_code == 2


def test_targets_come_from_standard_input_too(run: Run, site: Path) -> None:
    result = run("check", "-", stdin="# a comment\n\nwww.canada.ca\r\nchat.test\n")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["allow", "www.canada.ca"],
        ["block", "chat.test"],
    ]
    assert result.exit_code == 1


def test_json_is_one_object_a_line_with_the_same_keys(run: Run, site: Path) -> None:
    blocked, allowed = map(json.loads, run("check", "--json", "cdn.test", "www.canada.ca").stdout.splitlines())
    assert blocked == {
        "target": "cdn.test",
        "layer": "dns",
        "action": "block",
        "service": "chat",
        "part": "media",
        "rule": "chat/exact/cdn.test",
        "list": "chat",
        "line": 12,
        "why": f"{site}/chat.yaml:12 matches: exact cdn.test, chat media, source CAP; "
        "Blocked as chat/exact/cdn.test; a question is answered with nodata",
    }
    assert allowed == {
        **dict.fromkeys(blocked),
        "target": "www.canada.ca",
        "layer": "dns",
        "action": "allow",
        "why": "No rule matches; Allowed",
    }


def test_without_a_configuration_the_shipped_lists_are_asked(run: Run) -> None:
    result = run("check", "long.weixin.qq.com", "www.canada.ca")
    assert result.exit_code == 1
    assert "wechat/suffix/long.weixin.qq.com" in result.stdout


def test_a_device_is_judged_with_the_exemptions_of_its_group(run: Run, site: Path) -> None:
    assert run("check", "--device", "dev-1", "chat.test").exit_code == 1
    assert run("check", "--device", "dev-2", "chat.test").exit_code == 0


def test_an_exemption_ends_at_its_moment(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = moment(NOON_MS).replace(year=2027, month=3, day=31, hour=0)
    monkeypatch.setattr("enforcer.cli.check.utc_now", lambda: end - timedelta(seconds=1))
    assert run("check", "--device", "dev-2", "chat.test").exit_code == 0
    monkeypatch.setattr("enforcer.cli.check.utc_now", lambda: end)
    assert run("check", "--device", "dev-2", "chat.test").exit_code == 1


def test_a_realm_is_judged_in_its_mode(run: Run, site: Path) -> None:
    realms = [{**CONFIG["realms"][0], "mode": "monitor"}]  # type: ignore[index]
    write_config(site, {**CONFIG, "realms": realms})
    result = run("check", "--realm", "lab", "chat.test")
    assert result.stdout.startswith("observe  chat.test")
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--realm", "labs"), '"labs" is not a realm; did you mean "lab"?'),
        (("--device", "dev-9"), '"dev-9" is not in the inventory; enforcer devices list names all'),
    ],
)
def test_who_is_not_known_is_wrong_use(run: Run, site: Path, arguments: tuple[str, ...], text: str) -> None:
    result = run("check", *arguments, "chat.test")
    assert text in result.stderr
    assert result.exit_code == 2


def test_a_device_needs_a_configuration(run: Run) -> None:
    result = run("check", "--device", "dev-1", "chat.test")
    assert "--device and --realm need a configuration" in result.stderr
    assert result.exit_code == 2


def test_a_list_with_mistakes_is_named_line_by_line(run: Run, site: Path) -> None:
    text = (site / "chat.yaml").read_text()
    (site / "chat.yaml").write_text(text.replace("exact: cdn.test", 'exact: "cdn,test"'))
    result = run("check", "chat.test")
    assert result.stderr == f'{site}/chat.yaml:12: "cdn,test" is not a domain name; did you mean "cdn.test"?\n'
    assert result.exit_code == 2


@pytest.mark.parametrize("config", ["nowhere.yaml", "."])
def test_where_the_policy_cannot_be_asked_nothing_is_said_to_be_blocked(run: Run, site: Path, config: str) -> None:
    result = run("check", "--config", config, "www.canada.ca")
    assert "cannot be read" in result.stderr
    assert result.exit_code == 2
    assert run("devices", "list", "--config", config).exit_code == 2, "as everywhere"


def test_an_exempt_device_is_let_through_in_its_realm_whatever_it_is_known_by(run: Run, site: Path) -> None:
    (site / "devices.csv").write_text("id,group,addresses\ndev-2,laboratory,2001:db8:20::/64\n")
    assert run("check", "--device", "dev-2", "chat.test").exit_code == 0
    (site / "devices.csv").write_text("id,group,imei\ndev-2,laboratory,001015012345671\n")
    assert run("check", "--device", "dev-2", "chat.test").exit_code == 0


def test_explain_tells_the_rule_its_line_its_sources_and_every_step(run: Run, site: Path) -> None:
    result = run("explain", "a.msg.chat.test")
    assert result.exit_code == 0
    assert (
        result.stdout
        == f"""\
a.msg.chat.test: block

service     chat (Chat)
part        messaging
rule        chat/suffix/msg.chat.test
written     {site}/chat.yaml:11
source      CAP: our own capture
ban         dept-2026-04
evidence    app: only the application talks to it
confidence  single
seen        2026-04
expires     never
answer      nxdomain
steps       1. Layer dns shows the name "a.msg.chat.test"
            2. {site}/chat.yaml:11 matches: suffix msg.chat.test, chat messaging, source CAP
            3. {site}/chat.yaml:10 matches: suffix chat.test, chat general, source DOC, CAP
            4. Blocked as chat/suffix/msg.chat.test; a question is answered with nxdomain
"""
    )


def test_explain_tells_why_something_is_allowed(run: Run, site: Path) -> None:
    assert (
        run("explain", "www.mail.test").stdout
        == f"""\
www.mail.test: allow

never_block  {site}/chat.yaml:18: suffix mail.test (the department's own mail)
steps        1. Layer dns shows the name "www.mail.test"
             2. No rule matches
             3. Allowed
"""
    )


def test_explain_as_json_has_everything(run: Run, site: Path) -> None:
    answer = json.loads(run("explain", "--json", "203.0.113.9:853").stdout)
    assert answer["sources"] == {"CAP": "our own capture"}
    assert answer["file"] == f"{site}/chat.yaml"
    assert answer["line"] == 14
    assert answer["expires"] == "2026-12-24"
    assert answer["steps"][0] == "Layer ip shows the address 203.0.113.9, the port udp/853"
    assert answer["answer"] is None
    assert answer["never_block"] == []
    allowed = json.loads(run("explain", "--json", "www.canada.ca").stdout)
    assert list(allowed) == list(answer)
    assert (allowed["action"], allowed["sources"], allowed["answer"]) == ("allow", None, None)
    assert json.loads(run("explain", "--json", "cdn.test").stdout)["answer"] == "nodata"


def test_explain_refuses_what_is_no_target(run: Run, site: Path) -> None:
    result = run("explain", "1.2.3")
    assert "is neither a name nor an address" in result.stderr
    assert result.exit_code == 2
    assert '"\\u001b[31mx" is not a domain name' in run("explain", "\x1b[31mx").stderr
