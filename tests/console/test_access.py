import pytest

from enforcer.config.pages import Role
from enforcer.console.access import is_printable
from enforcer.console.users import User, hash_token, write_user
from tests.console.conftest import Open

FRONT = {"networks": ["192.0.2.10"], "roles": {"reviewers": "reviewer"}}


def test_open_is_open_to_this_machine_alone(opened: Open) -> None:
    lab = opened(open_roles=["viewer"])
    assert lab.client("127.0.0.1").get("/").status_code == 200
    assert lab.client("::1").get("/").status_code == 200
    assert lab.client("10.0.0.1").get("/").status_code == 403
    assert lab.client().get("/journal").status_code == 403


def test_a_front_proxy_says_who_it_is(opened: Open) -> None:
    lab = opened(auth="proxy", proxy=FRONT)
    headers = {"x-forwarded-user": "j.tremblay", "x-forwarded-groups": "others, reviewers"}
    client = lab.client("192.0.2.10", **headers)
    page = client.get("/")
    assert page.status_code == 200
    assert "j.tremblay" in page.text
    assert client.get("/journal").status_code == 403
    assert lab.events("visit") == [
        {"what": "sign_in", "who": "j.tremblay", "via": "proxy", "from": "192.0.2.10"},
    ]
    lab.pass_time(minutes=31)
    client.get("/")
    assert len(lab.events("visit")) == 2


@pytest.mark.parametrize(
    ("address", "user", "groups"),
    [
        ("192.0.2.11", "j.tremblay", "reviewers"),
        ("192.0.2.10", "j.tremblay", "others"),
        ("192.0.2.10", "", "reviewers"),
        ("192.0.2.10", "x" * 65, "reviewers"),
        ("192.0.2.10", None, "reviewers"),
        ("testclient", "j.tremblay", "reviewers"),
    ],
)
def test_nobody_else_is_believed(opened: Open, address: str, user: str | None, groups: str) -> None:
    lab = opened(auth="proxy", proxy=FRONT)
    headers = {"x-forwarded-groups": groups} | ({} if user is None else {"x-forwarded-user": user})
    assert lab.client(address, **headers).get("/").status_code == 403


def test_two_names_are_no_name(opened: Open) -> None:
    lab = opened(auth="proxy", proxy=FRONT)
    client = lab.client("192.0.2.10")
    headers = [("x-forwarded-user", "a"), ("x-forwarded-user", "b"), ("x-forwarded-groups", "reviewers")]
    assert client.get("/", headers=headers).status_code == 403


def test_a_token_is_good_with_every_way_of_signing_in(opened: Open) -> None:
    lab = opened(auth="local")
    write_user(lab.site.access.users.path, User("siem", frozenset({Role.AUDITOR}), hash_token("t0ken")))
    assert lab.client(authorization="Bearer t0ken").get("/api/v1/events").status_code == 200
    assert lab.client(authorization="bearer t0ken").get("/api/v1/attempts").status_code == 200
    assert [(each["who"], each["via"]) for each in lab.events("visit")] == [("siem", "token")]
    assert lab.client(authorization="Bearer wrong").get("/api/v1/attempts").status_code == 401
    assert lab.client(authorization="Basic t0ken").get("/api/v1/attempts").status_code == 401


def test_a_wrong_token_is_worse_than_none(opened: Open) -> None:
    assert opened().client(authorization="Bearer wrong").get("/api/v1/attempts").status_code == 401


def test_choices_are_remembered(opened: Open) -> None:
    client = opened().client()
    assert '<html lang="fr" data-theme="dark">' in client.get("/?lang=fr&theme=dark").text
    assert '<html lang="fr" data-theme="dark">' in client.get("/").text
    assert '<html lang="en">' in client.get("/?lang=en&theme=auto").text
    assert '<html lang="en">' in client.get("/?lang=xx&theme=xx").text


def test_names_for_the_audit_record() -> None:
    assert is_printable("j.tremblay")
    assert not is_printable("")
    assert not is_printable("a\nb")
    assert not is_printable("x" * 65)
