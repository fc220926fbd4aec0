import re

import pytest
from starlette.testclient import TestClient

from enforcer.console.sinkhole import Sinkhole, sinkhole_app
from tests.console.lab import Lab


@pytest.fixture
def visitor(lab: Lab) -> TestClient:
    sinkhole = Sinkhole(lab.site.config, lab.site.policies, lab.site.index, lab.site.clock)
    return TestClient(sinkhole_app(sinkhole), base_url="http://a.chat.test", client=("10.20.0.5", 50_000))


def test_whatever_is_asked_for_the_page_says_what_was_blocked(visitor: TestClient) -> None:
    for method, path in (("GET", "/"), ("POST", "/a/b?secret=1"), ("OPTIONS", "/x"), ("PUT", "/..%2f")):
        answer = visitor.request(method, path)
        assert answer.status_code == 403
        assert answer.headers["cache-control"] == "no-store"
        for word in ("a.chat.test", "Chat", "Clavardage", "dept-2026-04", 'lang="en"', 'lang="fr"'):
            assert word in answer.text
        assert "secret" not in answer.text
        assert "set-cookie" not in answer.headers


def test_the_reference_is_the_attempt_that_led_here(visitor: TestClient, lab: Lab) -> None:
    found = re.search(r"<code>([0-9A-Z]{26})</code>", visitor.get("/").text)
    assert found is not None
    with lab.site.index() as index:
        assert index.get(found[1]) is not None
    assert "dev-1" not in visitor.get("/").text
    assert "10.20.0.5" not in visitor.get("/").text


def test_a_reference_that_is_old_or_of_others_is_left_out(lab: Lab, visitor: TestClient) -> None:
    sinkhole = Sinkhole(lab.site.config, lab.site.policies, lab.site.index, lab.site.clock)
    other = TestClient(sinkhole_app(sinkhole), base_url="http://a.chat.test", client=("10.20.0.77", 50_000))
    assert "Reference" not in other.get("/").text
    lab.pass_time(hours=1)
    assert "Reference" not in visitor.get("/").text


@pytest.mark.parametrize("host", ["10.0.0.1", "[2001:db8::1]:80", "a..b", "", "x" * 300, '"><script>'])
def test_any_host_is_answered(visitor: TestClient, host: str) -> None:
    answer = visitor.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "<script" not in answer.text


def test_the_language_asked_for_comes_first(visitor: TestClient) -> None:
    assert '<html lang="fr">' in visitor.get("/", headers={"accept-language": "fr-CA"}).text
    assert '<html lang="en">' in visitor.get("/", headers={"accept-language": "de"}).text


def test_it_answers_with_the_hub_away_and_nothing_to_read(lab: Lab, visitor: TestClient) -> None:
    for path in (lab.config.data_dir / "index").iterdir():
        path.unlink()
    (lab.config.data_dir / "run" / "orders").unlink()
    answer = visitor.get("/", headers={"host": "a.chat.test:5082"})
    assert answer.status_code == 403
    assert "a.chat.test" in answer.text
    assert "Clavardage" not in answer.text


def test_a_head_has_no_body(visitor: TestClient) -> None:
    answer = visitor.head("/")
    assert (answer.status_code, answer.content) == (403, b"")
