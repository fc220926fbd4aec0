from pathlib import Path

import pytest

from enforcer.config.pages import Role
from enforcer.console.access import FORM, SESSION
from enforcer.console.throttle import FREE
from enforcer.console.users import User, hash_password, remove_user, write_user
from tests.console.conftest import Open
from tests.console.lab import Lab
from tests.console.signing import PASSWORD, send, sign_in, token_of

HASH = hash_password(PASSWORD)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "console-users"
    write_user(path, User("rev", frozenset({Role.REVIEWER}), HASH))
    write_user(path, User("look", frozenset({Role.VIEWER}), HASH))
    return path


@pytest.fixture
def lab(opened: Open, users: Path) -> Lab:
    return opened(auth="local", users=str(users))


def test_who_has_not_signed_in_is_sent_to_do_so_and_back(lab: Lab) -> None:
    client = lab.client()
    answer = client.get("/attempts?service=chat")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fattempts%3Fservice%3Dchat")
    signed = sign_in(client, next="/attempts?service=chat")
    assert (signed.status_code, signed.headers["location"]) == (303, "/attempts?service=chat")
    assert client.get("/attempts").status_code == 200
    assert client.get("/sign-in").headers["location"] == "/"
    assert lab.events("visit") == [{"what": "sign_in", "who": "rev", "via": "password", "from": "127.0.0.1"}]


@pytest.mark.parametrize("after", ["//evil.test", "https://evil.test", "/\\evil.test", "evil", "/a\r\nset-cookie: x"])
def test_nobody_is_led_elsewhere(lab: Lab, after: str) -> None:
    assert sign_in(lab.client(), next=after).headers["location"] == "/"


def test_cookies_are_for_us_alone(lab: Lab) -> None:
    client = lab.client()
    sign_in(client)
    page = client.get("/?lang=fr&theme=dark")
    for cookie in (*page.headers.get_list("set-cookie"), *sign_in(lab.client()).headers.get_list("set-cookie")):
        assert all(word in cookie for word in ("HttpOnly", "Secure", "Path=/", "SameSite="))
        assert "Domain" not in cookie
    assert SESSION.startswith("__Host-")
    assert "SameSite=strict" in next(
        each for each in sign_in(lab.client()).headers.get_list("set-cookie") if each.startswith(f"{SESSION}=")
    )


def test_a_wrong_password_is_told_and_recorded(lab: Lab) -> None:
    client = lab.client()
    answer = sign_in(client, password="wrong")
    assert answer.status_code == 403
    assert "Name or password is wrong" in answer.text
    assert SESSION not in answer.headers.get("set-cookie", "")
    sign_in(client, name="nobody<script>")
    assert [event["who"] for event in lab.events("visit")] == ["rev", "nobody<script>"]
    assert {event["what"] for event in lab.events("visit")} == {"sign_in_refused"}


def test_guessing_is_slowed_down_for_the_name_from_anywhere(lab: Lab) -> None:
    for number in range(FREE):
        assert sign_in(lab.client(f"192.0.2.{number}"), password="wrong").status_code == 403
    answer = sign_in(lab.client("192.0.2.99"))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    lab.pass_time(seconds=2)
    assert sign_in(lab.client("192.0.2.99")).status_code == 303


def test_guessing_is_slowed_down_for_the_address_with_any_name(lab: Lab) -> None:
    for number in range(FREE):
        sign_in(lab.client("192.0.2.1"), name=f"name{number}", password="wrong")
    assert sign_in(lab.client("192.0.2.1")).status_code == 429
    assert sign_in(lab.client("192.0.2.2")).status_code == 303


def test_a_form_of_another_site_is_not_taken(lab: Lab) -> None:
    client = lab.client()
    token = token_of(client.get("/sign-in").text)
    data = {"name": "rev", "password": PASSWORD, "token": token}
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "", "origin": "https://evil.test"}):
        assert client.post("/sign-in", data=data, headers=headers).status_code == 403
    assert client.post("/sign-in", data={**data, "token": "0" * 64}).status_code == 403
    client.cookies.delete(FORM)
    assert client.post("/sign-in", data=data).status_code == 403
    assert client.post("/sign-in", content=b"\xff", headers={"content-type": "multipart/form-data"}).status_code == 403


def test_signing_out_ends_the_session_whatever_the_browser_keeps(lab: Lab) -> None:
    client = lab.client()
    sign_in(client)
    value = client.cookies[SESSION]
    assert client.post("/sign-out").status_code == 403
    assert client.get("/").status_code == 200
    assert send(client, "/", "/sign-out", {}).headers["location"] == "/sign-in"
    client.cookies.set(SESSION, value, domain="127.0.0.1")
    assert client.get("/").status_code == 303
    assert lab.events("visit")[-1]["what"] == "sign_out"


def test_a_session_that_was_planted_opens_nothing_before_or_after(lab: Lab) -> None:
    """Session fixation: whoever knows a cookie's value before its bearer signs in must not be in afterwards."""
    planted = "0" * 43
    client = lab.client()
    client.cookies.set(SESSION, planted, domain="127.0.0.1")
    assert client.get("/").status_code == 303
    given = sign_in(client).headers.get_list("set-cookie")
    assert not any(planted in cookie for cookie in given)
    stranger = lab.client()
    stranger.cookies.set(SESSION, planted, domain="127.0.0.1")
    assert stranger.get("/").status_code == 303
    first = next(each for each in given if each.startswith(f"{SESSION}="))
    again = next(
        each for each in sign_in(lab.client()).headers.get_list("set-cookie") if each.startswith(f"{SESSION}=")
    )
    assert first.partition(";")[0] != again.partition(";")[0]


def test_a_session_ends_when_nobody_comes_for_a_while(lab: Lab) -> None:
    client = lab.client()
    sign_in(client)
    lab.pass_time(minutes=29)
    assert client.get("/").status_code == 200
    lab.pass_time(minutes=31)
    assert client.get("/").status_code == 303


def test_whoever_is_taken_out_of_the_file_is_out(lab: Lab, users: Path) -> None:
    client = lab.client()
    sign_in(client)
    write_user(users, User("rev", frozenset({Role.AUDITOR}), HASH))
    assert client.get("/journal").status_code == 200
    remove_user(users, "rev")
    assert client.get("/").status_code == 303


def test_another_password_ends_what_the_old_one_began(lab: Lab, users: Path) -> None:
    client = lab.client()
    sign_in(client)
    assert client.get("/").status_code == 200
    write_user(users, User("rev", frozenset({Role.REVIEWER}), hash_password("another horse battery")))
    assert client.get("/").status_code == 303


def test_a_role_that_does_not_suffice_is_told_so(lab: Lab) -> None:
    client = lab.client()
    sign_in(client, name="look")
    assert client.get("/").status_code == 200
    assert client.get("/journal").status_code == 403
    page = "/incidents/device/dev-1/chat"
    assert "textarea" not in client.get(page).text
    assert send(client, page, page, {"state": "closed"}).status_code == 403
    assert send(client, page, "/attempts/export", {"format": "csv"}).status_code == 403
    assert send(client, page, "/health/reload", {}).status_code == 403
    assert lab.events("mark") == []


def test_signing_in_works_with_the_hub_away_and_is_recorded_when_it_is_back(lab: Lab) -> None:
    lab.away = True
    client = lab.client()
    assert sign_in(client).status_code == 303
    assert lab.events("visit") == []
    lab.away = False
    lab.site.desk.catch_up()
    assert [event["what"] for event in lab.events("visit")] == ["sign_in"]


def test_without_users_the_page_says_what_to_do(opened: Open) -> None:
    client = opened(auth="local").client()
    assert "enforcer console user add" in client.get("/sign-in").text
    assert client.get("/sign-in/provider").status_code == 404


def test_where_nobody_signs_in_there_is_no_page_for_it(opened: Open) -> None:
    lab = opened()
    client = lab.client("192.0.2.1")
    assert client.get("/").status_code == 403
    assert client.get("/sign-in").status_code == 403
    here = lab.client()
    assert send(here, "/attempts", "/sign-in", {"name": "rev"}).status_code == 404
    assert send(here, "/attempts", "/sign-out", {}).status_code == 303
