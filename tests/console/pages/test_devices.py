from dataclasses import replace

from starlette.testclient import TestClient

from tests.console.lab import Lab, attempt


def test_what_is_known_how_sure_and_what_it_tried(shared: TestClient) -> None:
    page = shared.get("/devices/dev-1").text
    for text in (
        "field",
        "RADIUS accounting, resolved",
        'href="/incidents/device/dev-1/chat"',
        "Chat",
        'class="dot s0"',
    ):
        assert text in page
    assert page.count("<circle") == 2
    assert "dev-2" not in page


def test_exemptions_of_its_group_are_shown(lab: Lab) -> None:
    assert "malware laboratory" not in lab.client().get("/devices/dev-1").text
    own = attempt(5)
    lab.write(replace(own, owner=replace(own.owner, device="dev-7", group="laboratory")))
    assert "malware laboratory (128 days)" in lab.client().get("/devices/dev-7").text


def test_sessions_are_what_the_hub_knows_now(shared: TestClient) -> None:
    page = shared.get("/devices/dev-5").text
    assert "10.20.0.5/32" in page
    assert "RADIUS accounting" in page
    assert "field" in page
    assert "No session is known now." in shared.get("/devices/dev-2").text


def test_a_device_that_nobody_knows_is_not_found(shared: TestClient) -> None:
    assert shared.get("/devices/dev-9").status_code == 404


def test_without_the_hub_the_index_is_enough(lab: Lab) -> None:
    lab.away = True
    page = lab.client().get("/devices/dev-1")
    assert page.status_code == 200
    assert "What the hub knows cannot be shown" in page.text


def test_a_long_time_has_few_marks(lab: Lab) -> None:
    lab.write(*(attempt(60 * 24 * number) for number in range(1, 60)))
    page = lab.client().get("/devices/dev-1").text
    assert page.count('y1="8"') <= 11
