from pathlib import Path

import pytest

from enforcer.console.policies import Policies, rule_of
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from tests.console.lab import Lab


def test_what_is_in_force_is_what_workers_follow(lab: Lab) -> None:
    policies = lab.site.policies
    assert policies.in_force().ruleset == policies.orders().policy[:12]
    assert policies.in_force() is policies.in_force()


def test_an_older_one_is_found_by_the_number_in_records(lab: Lab) -> None:
    policies = lab.site.policies
    ruleset = policies.in_force().ruleset
    found = policies.numbered(ruleset)
    assert found is not None
    assert found.ruleset == ruleset
    for other in ("0123456789ab", "", "../x", "*"):
        assert policies.numbered(other) is None


def test_a_damaged_one_is_none(lab: Lab) -> None:
    (lab.config.data_dir / "policy" / ("ab" * 32)).write_bytes(b"nonsense")
    assert lab.site.policies.numbered("abababababab") is None


def test_before_the_hub_has_said_anything(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="start the hub"):
        Policies(Folders(tmp_path)).in_force()


def test_few_are_kept_open(lab: Lab) -> None:
    folder = lab.config.data_dir / "policy"
    data = (folder / lab.site.policies.orders().policy).read_bytes()
    for number in range(6):
        (folder / f"{number:x}".ljust(64, "0")).write_bytes(data)
        assert lab.site.policies.numbered(f"{number:x}00000000000") is not None


def test_rules_are_found_by_their_id(lab: Lab) -> None:
    policy = lab.site.policies.in_force()
    rule = rule_of(policy, "chat/suffix/msg.chat.test")
    assert rule is not None
    assert (rule.part, rule.line) == ("messaging", 11)
    assert rule_of(policy, "chat/suffix/other.test") is None
    assert rule_of(policy, "names/suffix/other.test") is None
