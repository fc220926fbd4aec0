import pytest

from enforcer.console.routes import local_path
from tests.console.lab import Lab
from tests.console.signing import send


@pytest.mark.parametrize("path", ["/", "/attempts?service=chat&lang=fr", "/incidents/device/dev%2F1/chat"])
def test_our_own_addresses_may_be_gone_on_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize("path", [None, "", "attempts", "//evil.test/", "/\\evil.test", "https://evil.test", "/\n"])
def test_others_lead_to_the_beginning(path: str | None) -> None:
    assert local_path(path) == "/"


def test_trouble_has_the_status_it_deserves(lab: Lab) -> None:
    client = lab.client()
    assert client.get("/attempts?since=never").status_code == 400
    assert client.get("/attempts/01KARSJ8T0C2V6M0QF1W3X9Z4B").status_code == 404
    assert send(client, "/health", "/health/pause", {"realm": "lab", "minutes": "7", "reason": "x"}).status_code == 400
    lab.away = True
    assert send(client, "/attempts", "/attempts/export", {"format": "csv"}).status_code == 503


def test_an_index_that_is_not_there_is_told(lab: Lab) -> None:
    for path in (lab.config.data_dir / "index").iterdir():
        path.unlink()
    answer = lab.client().get("/attempts")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
