import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.index import Filter, Place
from enforcer.console.asked import (
    Page,
    Wrong,
    place_text,
    read_filter,
    read_number,
    read_page,
    sought,
    words_of,
)
from enforcer.policy.names import parse
from tests.records import NOON_MS, moment

NOON = moment(NOON_MS)


def test_words_are_read_once_and_short() -> None:
    assert words_of([("a", " x "), ("b", ""), ("c", "y" * 1000)]) == {"a": "x", "c": "y" * 300}


def test_a_query_narrows_as_the_options_of_the_command_do() -> None:
    words = {
        "service": "chat",
        "layer": "tls",
        "since": "1h",
        "until": "2026-11-24",
        "name": "A.Chat.TEST.",
        "device": "d",
    }
    words |= {"client_ip": "2001:DB8::1", "group": "g", "realm": "r", "rule": "x", "part": "p", "evidence": "app"}
    assert read_filter(words, NOON) == Filter(
        since_ms=NOON_MS - 3_600_000,
        until_ms=NOON_MS + 12 * 3_600_000,
        service="chat",
        part="p",
        evidence="app",
        layer="tls",
        realm="r",
        device="d",
        group="g",
        client_ip="2001:db8::1",
        name="a.chat.test",
        rule="x",
    )


def test_where_nothing_is_written_the_default_counts() -> None:
    assert read_filter({}, NOON).since_ms is None
    assert read_filter({}, NOON, "7d").since_ms == NOON_MS - 7 * 86_400_000
    assert read_filter({"since": "all"}, NOON, "7d").since_ms is None
    assert read_filter({"since": "2026-11-01T09:30:00-05:00"}, NOON).since_ms == NOON_MS - 1_891_800_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("since", "yesterday"),
        ("until", "2026-13-01"),
        ("until", "2026-11-01T09:30"),
        ("layer", "tcp"),
        ("action", "allowed"),
        ("evidence", "none"),
        ("client_ip", "10.20.0"),
        ("name", "a..test"),
    ],
)
def test_what_cannot_be_read_is_named(key: str, value: str) -> None:
    with pytest.raises(Wrong) as caught:
        read_filter({key: value}, NOON)
    assert (caught.value.key, caught.value.value) == (key, value)


def test_places_of_pages() -> None:
    place = Place(NOON_MS, 7)
    assert read_page({"older": place_text(place)}) == Page(older=place)
    assert read_page({"newer": place_text(place)}) == Page(newer=place)
    assert read_page({}) == Page()
    assert read_page({"older": place_text(place), "newer": "1-1"}) == Page(older=place)
    for words in ({"older": "x"}, {"newer": "1-"}):
        with pytest.raises(Wrong):
            read_page(words)


def test_numbers_have_limits() -> None:
    assert read_number({}, "limit", 50, 1, 500) == 50
    assert read_number({"limit": "500"}, "limit", 50, 1, 500) == 500
    for text in ("0", "501", "-1", "x", "٣", "9" * 30):
        with pytest.raises(Wrong):
            read_number({"limit": text}, "limit", 50, 1, 500)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("01karsj8t0c2v6m0qf1w3x9z4b", ("id", "01KARSJ8T0C2V6M0QF1W3X9Z4B")),
        ("10.20.0.5", ("client_ip", "10.20.0.5")),
        ("[2001:db8::1]", ("client_ip", "2001:db8::1")),
        (" WeChat.com ", ("name", "wechat.com")),
        ("dev-7f3a91c2", ("device", "dev-7f3a91c2")),
        ("a..b", ("device", "a..b")),
    ],
)
def test_what_is_sought_is_told_by_its_form(text: str, found: tuple[str, str]) -> None:
    assert sought(text) == found


@given(st.text(max_size=80))
def test_whatever_is_sought_is_something(text: str) -> None:
    kind, value = sought(text)
    assert kind in {"id", "client_ip", "name", "device"}
    if kind == "name":
        parse(value)
