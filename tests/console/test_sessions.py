from enforcer.config.pages import Role
from enforcer.console.roles import Person, Via
from enforcer.console.sessions import Sessions

PERSON = Person("a", frozenset({Role.VIEWER}), Via.OIDC)


def test_a_session_is_found_by_its_cookie_alone() -> None:
    sessions = Sessions(60, 600)
    value = sessions.begin(PERSON, 0)
    found = sessions.find(value, 1)
    assert found is not None
    assert found.person is PERSON
    assert sessions.find(value + "x", 1) is None
    assert len(value) >= 43
    assert sessions.begin(PERSON, 0) != value


def test_it_ends_when_nobody_comes() -> None:
    sessions = Sessions(60, 600)
    value = sessions.begin(PERSON, 0)
    assert sessions.find(value, 60) is not None
    assert sessions.find(value, 121) is None
    assert sessions.find(value, 60) is None


def test_it_ends_in_any_case() -> None:
    sessions = Sessions(60, 120)
    value = sessions.begin(PERSON, 0)
    assert sessions.find(value, 60) is not None
    assert sessions.find(value, 120) is not None
    assert sessions.find(value, 121) is None


def test_signing_out_ends_it() -> None:
    sessions = Sessions(60, 600)
    value = sessions.begin(PERSON, 0)
    assert sessions.end(value) is not None
    assert sessions.end(value) is None
    assert sessions.find(value, 0) is None


def test_they_are_bounded() -> None:
    sessions = Sessions(60, 600)
    first = sessions.begin(PERSON, 0)
    for _ in range(2000):
        sessions.begin(PERSON, 0)
    assert sessions.find(first, 0) is None
