from enforcer.attempts.attempt import Event
from tests.console.conftest import Open
from tests.console.lab import Lab
from tests.records import NOON_MS


def test_events_newest_first_by_kind(lab: Lab) -> None:
    lab.write(Event("pause", NOON_MS + 1, "gw-1", {"realm": "lab", "minutes": 5, "who": "j.tremblay"}))
    client = lab.client()
    page = client.get("/journal").text
    assert page.index("j.tremblay") < page.index("version</span> 0.1.0")
    assert "j.tremblay" not in client.get("/journal?event=start").text
    assert "Nothing" in client.get("/journal?event=purge").text


def test_pages_go_both_ways(lab: Lab) -> None:
    lab.write(*(Event("reload", NOON_MS + 1000 + number, "gw-1", {"who": f"n{number}."}) for number in range(60)))
    client = lab.client()
    first = client.get("/journal").text
    assert "n59." in first
    assert "n9." not in first
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = client.get(f"/journal{older}").text
    assert "n9." in second
    newer = second.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "n59." in client.get(f"/journal{newer}").text


def test_it_is_for_auditors(opened: Open) -> None:
    assert opened(open_roles=["viewer", "reviewer", "operator"]).client().get("/journal").status_code == 403
