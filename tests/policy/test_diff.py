from enforcer.policy.diff import Changes, diff
from enforcer.policy.names import display
from enforcer.policy.verdict import Action
from tests.policy.made import NOW, a_list, a_policy, third_party

OLD = a_policy(
    a_list("suffix: chat.test", "exact: old.test", "exact: other.test"), third_party("ads.test\nnews.test\n")
)
NEW = a_policy(
    a_list(
        "exact: new.test",
        "suffix: chat.test",
        "exact: other.test, expires: 2030-01-01",
        never_block=["exact: news.test"],
    ),
    third_party("ads.test\nnews.test\nmore.test\n"),
)


def test_rules_are_added_removed_and_changed_by_their_id() -> None:
    changes = diff(OLD, NEW, NOW)
    assert [rule.id for rule in changes.added] == ["chat/exact/new.test"]
    assert [rule.id for rule in changes.removed] == ["chat/exact/old.test"]
    assert [after.id for _, after in changes.changed] == ["chat/suffix/chat.test", "chat/exact/other.test"]


def test_a_rule_that_only_moved_to_another_line_has_not_changed() -> None:
    one = a_policy(a_list("exact: a.test"))
    other = a_policy(a_list("exact: a.test", more="# one\n# more"))
    assert one.lists[0].rules[0].line != other.lists[0].rules[0].line
    assert diff(one, other, NOW).changed == ()


def test_destinations_that_are_treated_otherwise_are_named() -> None:
    changes = diff(OLD, NEW, NOW).verdicts
    found = {
        display(each.destination.name): (each.before.action, each.after.action)
        for each in changes
        if each.destination.name
    }
    assert found == {
        "old.test": (Action.BLOCK, Action.ALLOW),
        "new.test": (Action.ALLOW, Action.BLOCK),
        "news.test": (Action.BLOCK, Action.ALLOW),
    }


def test_third_party_lists_are_counted() -> None:
    assert diff(OLD, NEW, NOW).third_party == {"others": (2, 3)}
    assert diff(OLD, a_policy(), NOW).third_party == {"others": (2, 0)}


def test_a_policy_does_not_differ_from_itself() -> None:
    assert diff(NEW, NEW, NOW) == Changes((), (), (), {}, ())
