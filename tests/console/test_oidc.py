from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import RSAKey
from starlette.testclient import TestClient

from enforcer.config.pages import Console
from enforcer.console import oidc
from enforcer.console.access import SESSION
from enforcer.errors import Unavailable
from tests.console.conftest import Open
from tests.console.lab import Lab
from tests.console.provider import CLIENT, SECRET, Provider, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    with serving(Provider()) as provider:
        yield provider


@pytest.fixture
def provider(served: Provider) -> Provider:
    served.claims = {"sub": "j.tremblay", "groups": ["all", "reviewers"]}
    served.nonce, served.audience, served.signed_by = None, CLIENT, None
    return served


@pytest.fixture
def lab(opened: Open, provider: Provider, tmp_path: Path) -> Lab:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    settings = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret_file": str(secret),
        "roles": {"reviewers": "reviewer"},
    }
    return opened(auth="oidc", url="https://127.0.0.1:9311", oidc=settings)


def there_and_back(client: TestClient, after: str = "/attempts") -> httpx2.Response:
    """From the sign-in page to the provider, and back with its code."""
    go = client.get("/sign-in/provider", params={"next": after})
    assert go.status_code == 302
    back = httpx2.get(go.headers["location"], follow_redirects=False).headers["location"]
    assert back.startswith("https://127.0.0.1:9311/sign-in/back?")
    return client.get(back)


def test_the_provider_says_who_it_is(lab: Lab) -> None:
    client = lab.client()
    assert client.get("/").headers["location"] == "/sign-in"
    assert 'href="/sign-in/provider?next=%2F"' in client.get("/sign-in").text
    answer = there_and_back(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/attempts")
    page = client.get("/attempts")
    assert page.status_code == 200
    assert "j.tremblay: reviewer" in page.text
    assert client.get("/journal").status_code == 403
    assert lab.events("visit") == [{"what": "sign_in", "who": "j.tremblay", "via": "oidc", "from": "127.0.0.1"}]


def test_what_is_asked_has_a_state_a_nonce_and_a_challenge(lab: Lab) -> None:
    client = lab.client()
    first, second = (parse_qs(urlsplit(client.get("/sign-in/provider").headers["location"]).query) for _ in range(2))
    assert first["scope"] == ["openid profile"]
    for word in ("state", "nonce", "code_challenge"):
        assert len(first[word][0]) >= 20
        assert first[word] != second[word]


@pytest.mark.parametrize(
    "claims", [{"sub": "x", "groups": ["all"]}, {"sub": "x"}, {"groups": ["reviewers"]}, {"sub": 7}]
)
def test_who_has_no_role_is_not_let_in(lab: Lab, provider: Provider, claims: dict[str, object]) -> None:
    provider.claims = claims
    client = lab.client()
    assert there_and_back(client).status_code in {403, 502}
    assert client.get("/").status_code == 303
    assert [event["what"] for event in lab.events("visit")] in (["sign_in_refused"], [])


def test_tokens_that_are_not_for_us_now_are_refused(lab: Lab, provider: Provider) -> None:
    for change in (
        {"nonce": "another"},
        {"audience": "another"},
        {"signed_by": RSAKey.generate_key(2048, {"kid": "one"})},
    ):
        provider.nonce, provider.audience, provider.signed_by = None, CLIENT, None
        for name, value in change.items():
            setattr(provider, name, value)
        client = lab.client()
        assert there_and_back(client).status_code == 502
        assert SESSION not in client.cookies
    provider.signed_by = None
    for claims in ({"iss": "https://evil.test"}, {"exp": 1}):
        provider.claims = {"sub": "x", "groups": ["reviewers"], **claims}
        assert there_and_back(lab.client()).status_code == 502


def test_a_code_is_good_in_the_browser_that_asked_for_it_once(lab: Lab) -> None:
    asking, other = lab.client(), lab.client()
    back = httpx2.get(asking.get("/sign-in/provider").headers["location"], follow_redirects=False).headers["location"]
    assert other.get(back).status_code == 502
    assert asking.get(back).status_code == 303
    assert asking.get("/").status_code == 200
    fresh = lab.client()
    assert fresh.get(back).status_code == 502


def test_a_refusal_of_the_provider_is_told(lab: Lab) -> None:
    client = lab.client()
    go = client.get("/sign-in/provider").headers["location"]
    state = parse_qs(urlsplit(go).query)["state"][0]
    answer = client.get("/sign-in/back", params={"error": "access_denied", "state": state})
    assert answer.status_code == 502


def test_nobody_is_led_elsewhere(lab: Lab) -> None:
    assert there_and_back(lab.client(), "https://evil.test/").headers["location"] == "/"


def test_a_provider_that_is_away_is_told(opened: Open, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    settings = {
        "issuer": "http://127.0.0.1:1",
        "client_id": CLIENT,
        "client_secret_file": str(secret),
        "roles": {"r": "viewer"},
    }
    lab = opened(auth="oidc", url="https://127.0.0.1:9311", oidc=settings)
    assert lab.client().get("/sign-in/provider").status_code == 502
    assert lab.client().post("/sign-in").status_code == 404


def test_what_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"console\.oidc"):
        oidc.Provider(Console())
    secret = tmp_path / "secret"
    settings = {"issuer": "https://a.test", "client_id": "x", "client_secret_file": str(secret), "roles": {}}
    with pytest.raises(Unavailable, match=r"console\.oidc"):
        oidc.Provider(Console.model_validate({"auth": "oidc", "url": "https://c.test", "oidc": settings}))
