import pytest

from enforcer.config.pages import Role
from enforcer.console.roles import RIGHTS, Person, Right, Via, roles_of

KNOWN = {"reviewers": Role.REVIEWER, "auditors": Role.AUDITOR}


def test_every_role_may_look_and_each_right_has_a_role() -> None:
    assert set(RIGHTS) == set(Role)
    assert all(Right.VIEW in rights for rights in RIGHTS.values())
    assert frozenset().union(*RIGHTS.values()) == set(Right)


def test_nobody_marks_and_audits_by_one_role() -> None:
    assert not any({Right.MARK, Right.AUDIT} <= rights for rights in RIGHTS.values())


def test_roles_add_up() -> None:
    both = Person("x", frozenset({Role.OPERATOR, Role.REVIEWER}), Via.OIDC)
    assert both.may(Right.MARK)
    assert both.may(Right.OPERATE)
    assert not both.may(Right.AUDIT)


@pytest.mark.parametrize(
    ("values", "roles"),
    [
        ("reviewers", {Role.REVIEWER}),
        (["reviewers", "auditors", "others"], {Role.REVIEWER, Role.AUDITOR}),
        (["others"], set()),
        ([7, None], set()),
        (None, set()),
        ({"reviewers": True}, set()),
    ],
)
def test_groups_stand_for_roles(values: object, roles: set[Role]) -> None:
    assert roles_of(values, KNOWN) == roles
