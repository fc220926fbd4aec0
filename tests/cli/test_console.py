import json
from pathlib import Path

import pytest

from enforcer.config.pages import Role
from enforcer.console.users import Users
from tests.cli.site import Run

PASSWORD = "correct horse battery\n"


def users(site: Path) -> Users:
    path = site / "data" / "console" / "users"
    return Users.read(path.read_text(), str(path))


def test_a_user_is_added_with_a_password_that_is_no_argument(run: Run, site: Path) -> None:
    result = run("console", "user", "add", "j.tremblay", "--role", "reviewer", "--password-stdin", stdin=PASSWORD)
    assert result.exit_code == 0
    assert "j.tremblay may sign in as reviewer" in result.output
    person = users(site).check_password("j.tremblay", PASSWORD.strip())
    assert person is not None
    assert person.roles == {Role.REVIEWER}
    assert (site / "data" / "console" / "users").stat().st_mode & 0o077 == 0


def test_the_password_is_asked_for_twice(run: Run, site: Path) -> None:
    result = run("console", "user", "add", "a", "--role", "viewer", stdin=PASSWORD * 2)
    assert result.exit_code == 0
    assert "battery" not in result.output
    assert run("console", "user", "add", "a", "--role", "viewer", stdin=PASSWORD + "other\n").exit_code != 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("a/b", "--role", "viewer"), "is not a name"),
        (("a", "--role", "boss"), "boss"),
        (("a",), "--role"),
    ],
)
def test_mistakes_are_named(run: Run, site: Path, arguments: tuple[str, ...], what: str) -> None:
    result = run("console", "user", "add", "--password-stdin", *arguments, stdin=PASSWORD)
    assert result.exit_code != 0
    assert what in result.output


def test_short_passwords_are_refused(run: Run, site: Path) -> None:
    result = run("console", "user", "add", "a", "--role", "viewer", "--password-stdin", stdin="short\n")
    assert "at least 12" in result.output
    assert not (site / "data" / "console" / "users").exists()


def test_a_token_is_printed_once_and_kept_as_a_hash(run: Run, site: Path) -> None:
    token = run("console", "token", "add", "siem", "--role", "auditor").output.strip()
    assert len(token) >= 43
    assert users(site).check_token(token) is not None
    assert token not in (site / "data" / "console" / "users").read_text()
    assert "is not a name" in run("console", "token", "add", "a b", "--role", "auditor").output


def test_everybody_is_listed_and_can_be_taken_out(run: Run, site: Path) -> None:
    assert run("console", "user", "list", "--json").output == ""
    run("console", "token", "add", "siem", "--role", "auditor", "--role", "viewer")
    listed = run("console", "user", "list", "--json").output
    assert json.loads(listed) == {"name": "siem", "kind": "token", "roles": ["auditor", "viewer"]}
    assert "siem" in run("console", "user", "list").output
    assert run("console", "user", "remove", "siem").exit_code == 0
    gone = run("console", "user", "remove", "siem")
    assert gone.exit_code != 0
    assert "user list names all" in gone.output


def test_without_pages_there_is_nothing_to_serve(run: Run, site: Path) -> None:
    result = run("console")
    assert result.exit_code != 0
    assert "there are no pages to serve" in result.output
