import re

import pytest
from starlette.testclient import TestClient


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("dev-1", "/devices/dev-1"),
        ("dev-9", "/attempts?device=dev-9&since=all"),
        ("10.20.0.5", "/attempts?client_ip=10.20.0.5&since=all"),
        ("A.Chat.test", "/attempts?name=a.chat.test&since=all"),
        ("01KARSJ8T0C2V6M0QF1W3X9Z4B", "/attempts?device=01KARSJ8T0C2V6M0QF1W3X9Z4B&since=all"),
        ("", "/attempts"),
    ],
)
def test_the_field_leads_to_what_was_meant(shared: TestClient, text: str, target: str) -> None:
    answer = shared.get("/search", params={"q": text})
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert shared.get(target).status_code == 200


def test_an_id_leads_to_its_attempt(shared: TestClient) -> None:
    found = re.search(r'href="/attempts/([0-9A-Z]{26})"', shared.get("/attempts").text)
    assert found is not None
    assert shared.get("/search", params={"q": found[1].lower()}).headers["location"] == f"/attempts/{found[1]}"
