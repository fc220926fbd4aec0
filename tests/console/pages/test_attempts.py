import re

from starlette.testclient import TestClient

from enforcer.policy.verdict import Layer
from tests.console.lab import NOTARY, Lab, attempt


def ids(html: str) -> list[str]:
    return re.findall(r'<a href="/attempts/([0-9A-Z]{26})"><time', html)


def test_pages_go_both_ways(lab: Lab) -> None:
    lab.write(*(attempt(10 + number) for number in range(5)))
    client = lab.client()
    first = client.get("/attempts?limit=4&since=all").text
    older = re.search(r'rel="next" href="([^"]*)"', first)
    assert older is not None
    assert 'rel="prev"' not in first
    second = client.get(f"/attempts{older[1].replace('&amp;', '&')}").text
    newer = re.search(r'rel="prev" href="([^"]*)"', second)
    assert newer is not None
    last = re.search(r'rel="next" href="([^"]*)"', second)
    assert last is not None
    third = client.get(f"/attempts{last[1].replace('&amp;', '&')}").text
    assert 'rel="next"' not in third
    assert len(set(ids(first) + ids(second) + ids(third))) == 9
    again = client.get(f"/attempts{newer[1].replace('&amp;', '&')}").text
    assert ids(again) == ids(first)


def test_filters_narrow_and_stay_in_the_form(shared: TestClient) -> None:
    page = shared.get("/attempts?service=chat&layer=tls&device=dev-1&since=all").text
    assert len(ids(page)) == 1
    assert '<option value="tls" selected>' in page
    assert 'name="device" value="dev-1"' in page
    assert "41 attempts in 1 records" in page
    assert "No attempt matches." in shared.get("/attempts?service=nothing").text
    assert '<option value="nothing" selected>' in shared.get("/attempts?service=nothing").text


def test_a_name_finds_all_below_it(shared: TestClient) -> None:
    assert len(ids(shared.get("/attempts?name=chat.test&since=all").text)) == 3
    assert len(ids(shared.get("/attempts?client_ip=192.0.2.1&since=all").text)) == 1


def test_a_record_tells_the_whole_story(lab: Lab) -> None:
    ruleset = lab.site.policies.in_force().ruleset
    lab.write(attempt(5, rule="chat/suffix/msg.chat.test", ruleset=ruleset, via="cdn.chat.test", count=3))
    client = lab.client()
    page = client.get(f"/attempts/{ids(client.get('/attempts').text)[0]}").text
    for text in (
        "A device asked for a.chat.test, type A, over udp.",
        "What matched was not the name itself but cdn.chat.test",
        "chat/suffix/msg.chat.test",
        "chat.yaml line 11",
        "Only the application itself talks to this destination.",
        "(extended DNS error 15)",
        "The address belonged to dev-1, by RADIUS accounting.",
        "This record stands for 3 attempts.",
        "our own capture",
        "verified here",
        "confidence: high",
        "follows the line before it",
    ):
        assert text in page, text
    french = client.get(f"/attempts/{ids(client.get('/attempts').text)[0]}?lang=fr").text
    assert "Un appareil a demandé a.chat.test" in french


def test_other_layers_are_told_in_other_words(lab: Lab) -> None:
    lab.write(
        attempt(6, None, layer=Layer.IP, name=None, qtype=None, dest_ip="203.0.113.9", dest_port=443, transport="tcp")
    )
    client = lab.client()
    page = client.get(f"/attempts/{ids(client.get('/attempts').text)[0]}").text
    assert "203.0.113.9 tcp/443" in page
    assert "No device is known for the address 192.0.2.1." in page
    assert "is no longer kept here" in page


def test_what_is_around_it_is_of_the_same_device(shared: TestClient) -> None:
    found = ids(shared.get("/attempts?device=dev-1&since=all").text)
    page = shared.get(f"/attempts/{found[0]}").text
    assert set(ids(page)) == set(found) - {found[0]}


def test_a_record_says_who_has_signed_it(lab: Lab) -> None:
    client = lab.client()
    path = f"/attempts/{ids(client.get('/attempts').text)[0]}"
    assert "not signed yet" in client.get(path).text
    lab.sign()
    page = client.get(path).text
    assert "signed, signature valid" in page
    assert "Checkpoint in line 6 at" in page
    assert NOTARY.name in page
    assert "signée, signature valide" in client.get(f"{path}?lang=fr").text
