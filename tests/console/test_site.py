from starlette.testclient import TestClient

from enforcer.console.roles import Right
from enforcer.console.site import NAVIGATION
from tests.console.lab import Lab


def test_the_navigation_leads_to_pages_and_says_where_one_is(shared: TestClient) -> None:
    for key, path, _ in NAVIGATION:
        page = shared.get(path).text
        assert f'<a href="{path}" aria-current="page">' in page
        assert page.count('aria-current="page"') == 1, key


def test_what_one_may_not_see_is_not_offered(lab: Lab) -> None:
    assert 'href="/journal"' in lab.client().get("/").text
    assert lab.site.settings.open_roles
    hidden = [path for _, path, right in NAVIGATION if right is not Right.VIEW]
    assert hidden == ["/journal"]


def test_the_other_language_keeps_the_query(shared: TestClient) -> None:
    page = shared.get("/attempts?service=chat&lang=en&theme=dark").text
    assert 'href="?service=chat&amp;lang=fr" lang="fr"' in page


def test_times_are_in_the_zone_of_the_reader(lab: Lab) -> None:
    assert lab.site.zone.key == "UTC"
    page = lab.client().get("/attempts?since=all").text
    assert '<time datetime="2026-11-23T12:01:00.000Z" class="nowrap">2026-11-23 12:01:00</time>' in page
