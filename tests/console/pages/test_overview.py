import itertools
import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from enforcer.console.pages.overview import RANGES, buckets
from enforcer.console.routes import ask_of
from tests.console.conftest import Open
from tests.console.lab import Lab, attempt
from tests.console.test_live import request_of
from tests.records import NOON_MS


def starts(lab: Lab, name: str) -> list[int]:
    request = request_of(lab)
    return buckets(lab.now[0], *RANGES[name], ask_of(request, lab.site, lab.site.access.visitor(request)))


def test_a_range_ends_now_in_whole_hours_or_days(lab: Lab) -> None:
    hours = starts(lab, "24h")
    assert (len(hours), hours[-1]) == (24, NOON_MS)
    assert {b - a for a, b in itertools.pairwise(hours)} == {3_600_000}
    assert len(starts(lab, "7d")) == 28
    days = starts(lab, "30d")
    assert (len(days), days[-1]) == (30, NOON_MS - 12 * 3_600_000)


def test_days_are_those_of_the_readers_zone(opened: Open) -> None:
    lab = opened(time_zone="America/Toronto")
    days = starts(lab, "30d")
    assert days[-1] == NOON_MS - 7 * 3_600_000
    lengths = {b - a for a, b in itertools.pairwise(days)}
    assert lengths == {int(timedelta(hours=each).total_seconds() * 1000) for each in (24, 25)}  # the first of November


def test_figures_are_exact_and_chart_and_table_say_the_same(shared: TestClient) -> None:
    page = shared.get("/?since=24h").text
    assert ">44</a>" in page
    assert '<span class="figure">2</span>' in page
    table = re.findall(
        r'<th scope="row" class="nowrap">12:00</th><td class="number">(\d+)</td><td class="number">(\d+)', page
    )
    assert table == [("43", "1")]
    assert "12:00 · Chat · 43" in page
    assert "12:00 · talk · 1" in page


def test_a_device_that_tries_two_services_is_one_device(lab: Lab) -> None:
    lab.write(attempt(5, "dev-1", service="talk"), attempt(6, "dev-3"), attempt(7, None, service="talk"))
    tile = re.search(r'id="tile-2">.*?<span class="figure">(\d+)</span>', lab.client().get("/").text, re.DOTALL)
    assert tile is not None
    assert tile[1] == "3"


def test_the_heat_map_has_every_hour_of_the_week(shared: TestClient) -> None:
    page = shared.get("/").text
    assert page.count('class="cell h') == 7 * 24
    assert "Mon 12:00 · 44 attempts" in page


def test_many_services_are_put_together(lab: Lab) -> None:
    lab.write(*(attempt(5, service=f"app{number}") for number in range(7)))
    page = lab.client().get("/?since=24h").text
    assert "others" in page


def test_devices_and_incidents_lead_on(shared: TestClient) -> None:
    page = shared.get("/").text
    assert 'href="/devices/dev-1"' in page
    assert 'href="/incidents/device/dev-1/chat"' in page


def test_nothing_at_all_is_said_so(opened: Open) -> None:
    lab = opened()
    lab.pass_time(days=400)
    page = lab.client().get("/").text
    assert "There was no attempt in this period." in page
    assert "No device is known." in page


def test_other_ranges_are_not_understood(shared: TestClient) -> None:
    assert shared.get("/?since=5y").status_code == 400


@pytest.mark.parametrize("since", RANGES)
def test_each_range_has_a_page(shared: TestClient, since: str) -> None:
    assert shared.get(f"/?since={since}").status_code == 200
