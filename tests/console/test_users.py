from pathlib import Path

import pytest

from enforcer.config.pages import Role
from enforcer.console.roles import Via
from enforcer.console.users import User, Users, UsersFile, hash_password, hash_token, remove_user, write_user
from enforcer.errors import Mistakes

HASH = hash_password("correct horse battery")
TOKEN = "a-token-of-chance"
TEXT = f"# who reviews\n\nj.tremblay reviewer,auditor {HASH}  # since June\nsiem auditor {hash_token(TOKEN)}\n"


def test_a_password_says_who_it_is() -> None:
    users = Users.read(TEXT, "users")
    person = users.check_password("j.tremblay", "correct horse battery")
    assert person is not None
    assert (person.name, person.via) == ("j.tremblay", Via.PASSWORD)
    assert person.roles == {Role.REVIEWER, Role.AUDITOR}
    assert users.check_password("j.tremblay", "correct horse batterz") is None
    assert users.check_password("nobody", "correct horse battery") is None


def test_who_signed_in_stays_so_with_the_roles_of_now_until_the_password_is_another() -> None:
    person = Users.read(TEXT, "users").check_password("j.tremblay", "correct horse battery")
    assert person is not None
    fewer = Users.of([User("j.tremblay", frozenset({Role.AUDITOR}), HASH)]).again(person)
    assert fewer is not None
    assert fewer.roles == {Role.AUDITOR}
    other = User("j.tremblay", frozenset({Role.AUDITOR}), hash_password("correct horse battery"))
    assert Users.of([other]).again(person) is None
    assert Users.of([]).again(person) is None


def test_a_token_is_for_programs_alone() -> None:
    users = Users.read(TEXT, "users")
    person = users.check_token(TOKEN)
    assert person is not None
    assert (person.name, person.via) == ("siem", Via.TOKEN)
    assert users.check_token("another") is None
    assert users.check_password("siem", TOKEN) is None
    assert users.again(person) is None


def test_nothing_in_the_file_opens_anything() -> None:
    assert "correct horse" not in TEXT
    assert TOKEN not in TEXT
    assert HASH.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("alone", "this is not NAME ROLE"),
        (f"a/b viewer {HASH}", "is not a name"),
        (f"a boss {HASH}", '"boss" is not a role'),
        ("a viewer secret", "is no hash"),
        ("a viewer sha256:12", "is no hash"),
    ],
)
def test_mistakes_are_named_with_their_line(line: str, what: str) -> None:
    with pytest.raises(Mistakes, match=what) as caught:
        Users.read(f"\n{line}\n", "users")
    assert caught.value.mistakes[0].line == 2


def test_nobody_is_there_twice() -> None:
    with pytest.raises(Mistakes, match="here twice"):
        Users.read(f"a viewer {HASH}\na auditor {HASH}\n", "users")


def test_lines_of_others_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(TEXT)
    write_user(path, User("m.roy", frozenset({Role.VIEWER}), HASH))
    write_user(path, User("siem", frozenset({Role.VIEWER}), hash_token("new")))
    assert path.read_text().startswith(TEXT.partition("siem")[0])
    assert path.stat().st_mode & 0o077 == 0
    users = Users.read(path.read_text(), "users")
    assert list(users.by_name) == ["j.tremblay", "m.roy", "siem"]
    assert remove_user(path, "m.roy")
    assert not remove_user(path, "m.roy")
    assert "m.roy" not in path.read_text()


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "users"
    file = UsersFile(path)
    assert file.now().by_name == {}
    write_user(path, User("a", frozenset({Role.VIEWER}), HASH))
    assert list(file.now().by_name) == ["a"]
    path.write_text("nonsense\n")
    assert list(file.now().by_name) == ["a"]
    assert file.trouble is not None
    path.unlink()
    assert file.now().by_name == {}
    assert file.trouble is None
