"""Block lists at the command line."""

import json
from pathlib import Path

import pytest

from tests.cli.site import CONFIG, LIST, Run, write_config
from tests.records import NOON_MS, moment


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.cli.lists.utc_now", lambda: moment(NOON_MS))


def test_lint_of_a_right_list_says_so(run: Run, site: Path) -> None:
    result = run("lists", "lint")
    assert (result.stdout, result.exit_code) == ("No mistake\n", 0)


def test_lint_names_the_mistakes_and_warnings_of_all_files(run: Run, site: Path) -> None:
    (site / "one.yaml").write_text(LIST.replace("part: media", "prat: media"))
    (site / "two.yaml").write_text(LIST.replace("expires: 2026-12-24", "expires: 2026-11-23"))
    result = run("lists", "lint", "one.yaml", "two.yaml")
    assert result.stdout.splitlines() == [
        'one.yaml:12: the rule has an unknown key "prat"; did you mean "part"?',
        'one.yaml:12: the rule has no "part"; add it',
        'two.yaml:14: rule "two/cidr/203.0.113.0/24" expired on 2026-11-23; renew it or take it out (warning)',
    ]
    assert result.exit_code == 1


def test_a_warning_alone_is_no_failure(run: Run, site: Path) -> None:
    (site / "chat.yaml").write_text(LIST.replace("expires: 2026-12-24", "expires: 2026-11-23"))
    result = run("lists", "lint", "--json")
    (warning,) = map(json.loads, result.stdout.splitlines())
    assert warning == {
        "file": f"{site}/chat.yaml",
        "line": 14,
        "severity": "warning",
        "what": 'rule "chat/cidr/203.0.113.0/24" expired on 2026-11-23; renew it or take it out',
    }
    assert result.exit_code == 0


def test_lint_without_a_configuration_reads_what_is_shipped(run: Run) -> None:
    assert run("lists", "lint").exit_code == 0


def test_a_file_that_is_not_there_is_wrong_use(run: Run) -> None:
    assert run("lists", "lint", "nowhere.yaml").exit_code == 2


def test_lint_reads_third_party_lists_as_well(run: Run, third_party: Path) -> None:
    third_party.write_text("<html>no list</html>\n" * 200)
    result = run("lists", "lint")
    assert f"{third_party}: more than 100 bad lines" in result.stdout
    assert result.exit_code == 1
    (third_party.parent / "chat.yaml").write_text(LIST.replace("exact: cdn.test", "exact: cdn..test"))
    both = run("lists", "lint").stdout
    assert both.count('"cdn..test" is not a domain name') == both.count("more than 100 bad lines") == 1


@pytest.fixture
def third_party(site: Path) -> Path:
    """A list that somebody else keeps."""
    path = site / "names.txt"
    path.write_text("talk.test\nspeak.test\n")
    policy = {**CONFIG["policy"], "third_party": [{"file": "names.txt", "service": "talk"}]}  # type: ignore[dict-item]
    write_config(site, {**CONFIG, "policy": policy})
    return path


def test_stats_count_rules_by_kind_and_what_ends_soon(run: Run, third_party: Path) -> None:
    lines = [line.split() for line in run("lists", "stats").stdout.splitlines()]
    assert [dict(zip(lines[0], line, strict=True)) for line in lines[1:]] == [
        {
            "list": "chat",
            "service": "chat",
            "version": "2026.11.1",
            "rules": "6",
            "exact": "1",
            "suffix": "2",
            "regex": "0",
            "cidr": "2",
            "fingerprint": "0",
            "http_path": "1",
            "expiring": "1",
            "never_block": "1",
        },
        {
            "list": "names",
            "service": "talk",
            "version": "-",
            "rules": "2",
            "exact": "0",
            "suffix": "2",
            "regex": "0",
            "cidr": "0",
            "fingerprint": "0",
            "http_path": "0",
            "expiring": "0",
            "never_block": "0",
        },
    ]


def test_stats_of_files_as_json(run: Run, site: Path) -> None:
    (figures,) = map(json.loads, run("lists", "stats", "--json", "chat.yaml").stdout.splitlines())
    assert figures["list"] == "chat"
    assert figures["rules"]["cidr"] == 2
    assert figures["expiring"] == 1


NEW = LIST.replace("  - {exact: cdn.test, part: media", "  - {suffix: cdn.test, part: media").replace(
    "part: messaging, evidence: app, confidence: single, source: CAP, seen: 2026-04}",
    "part: messaging, evidence: web, confidence: single, source: CAP, seen: 2026-04}",
)


def test_diff_says_what_a_new_version_would_change(run: Run, site: Path) -> None:
    (site / "new").mkdir()
    (site / "new" / "chat.yaml").write_text(NEW)
    result = run("lists", "diff", "new/chat.yaml")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "added    chat/suffix/cdn.test  new/chat.yaml:12",
        f"removed  chat/exact/cdn.test  {site}/chat.yaml:12",
        "changed  chat/suffix/msg.chat.test  new/chat.yaml:11  evidence app -> web",
        "verdict  a.cdn.test  allow -> block",
    ]


def test_diff_compares_two_files_whatever_they_are_called(run: Run, site: Path) -> None:
    (site / "newer.yaml").write_text(NEW)
    changes = json.loads(run("lists", "diff", "--json", "newer.yaml", "chat.yaml").stdout)
    assert changes == {
        "added": ["chat/suffix/cdn.test"],
        "removed": ["chat/exact/cdn.test"],
        "changed": {"chat/suffix/msg.chat.test": {"evidence": ["app", "web"]}},
        "third_party": {},
        "verdicts": [{"layer": "dns", "target": "a.cdn.test", "before": "allow", "after": "block"}],
    }


def test_diff_of_the_same_says_that_nothing_changes(run: Run, site: Path) -> None:
    assert run("lists", "diff", "chat.yaml").stdout == "Nothing would change\n"


def test_diff_refuses_a_list_with_mistakes(run: Run, site: Path) -> None:
    (site / "new.yaml").write_text("service: [\n")
    result = run("lists", "diff", "new.yaml")
    assert result.stderr.startswith("new.yaml:")
    assert result.exit_code == 2
