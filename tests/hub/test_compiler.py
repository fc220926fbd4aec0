import pytest

from enforcer.hub.compiler import SHRUNK, Compiled, shrunk


def compiled(**rules: int) -> Compiled:
    """Half of each service's rules, rounded up, are names, the rest addresses."""
    by = {(service, "suffix"): -(-count // 2) for service, count in rules.items()}
    by |= {(service, "cidr"): count // 2 for service, count in rules.items()}
    return Compiled("0123456789abcdef" * 4, tuple(rules), by)


def test_records_name_a_policy_by_the_beginning_of_its_hash() -> None:
    assert compiled().ruleset == "0123456789ab"


def test_a_service_that_loses_most_of_its_rules_is_told_with_both_numbers() -> None:
    (told,) = shrunk(compiled(chat=100, talk=30), compiled(chat=49, talk=29), 0.5)
    assert told.what.startswith(f'{SHRUNK}"chat" would have 49 rules instead of 100')


@pytest.mark.parametrize(
    ("before", "after", "most"),
    [
        ({"chat": 100}, {"chat": 50}, 0.5),
        ({"chat": 100}, {"chat": 1}, 1.0),
        ({"chat": 19}, {"chat": 1}, 0.5),
        ({"chat": 100}, {"talk": 3}, 0.5),
        ({"chat": 100}, {"chat": 100}, 0.0),
        ({}, {"chat": 100}, 0.5),
    ],
)
def test_others_are_let_through(before: dict[str, int], after: dict[str, int], most: float) -> None:
    assert [*shrunk(compiled(**before), compiled(**after), most)] == []


def test_nothing_may_go_where_nothing_may_shrink() -> None:
    assert len([*shrunk(compiled(chat=100), compiled(chat=99), 0.0)]) == 1
