"""What one session held, from what its reports named."""

from itertools import permutations

from enforcer.devices.prefix import Prefix
from enforcer.devices.session import RUNS_MAX, Session, joined, run, share
from enforcer.devices.subject import NOTHING, Subject

A, B, NET = Prefix(4, 32, 0x0A000001), Prefix(4, 32, 0x0A000002), Prefix(6, 64, 0x20010DB800200030)


def session(**more: object) -> Session:
    return Session("apn", "pgw1", "s1", 100, **more)  # type: ignore[arg-type]


def test_one_address_after_the_other_in_any_order() -> None:
    for order in permutations([(A, 100), (A, 150), (B, 200), (A, 300)]):
        runs: list[tuple[Prefix, int, int]] = []
        for prefix, at in order:
            runs = run(runs, prefix, at)
        assert [(prefix, first) for prefix, first, _ in runs] == [(A, 100), (B, 200), (A, 300)]


def test_the_number_of_changes_that_are_kept_is_bounded() -> None:
    runs: list[tuple[Prefix, int, int]] = []
    for at in range(100):
        runs = run(runs, (A, B)[at % 2], at)
    assert len(runs) == RUNS_MAX
    assert runs[-1][1] == 99


def test_what_the_first_report_names_was_there_from_the_start() -> None:
    found = session(first_ms=160, runs=[(A, 160, 160), (B, 300, 300)], named={NET: 200})
    assert list(found.held(A)) == [(100, 300)]
    assert list(found.held(B)) == [(300, None)]
    assert list(found.held(NET)) == [(200, None)]
    assert found.prefixes == (A, B, NET)
    assert session().prefixes == ()


def test_a_later_report_adds_to_the_subject_and_corrects_it() -> None:
    one, two = Subject(imsi="001010000000001", msisdn="16135550001"), Subject(imsi="001010000000002", imei="35" * 7)
    assert joined(one, two) == Subject(imei="35" * 7, imsi="001010000000002", msisdn="16135550001")
    assert joined(NOTHING, two) is two


def test_bearers_share_when_they_are_of_one_phone_on_one_gateway() -> None:
    phone, other = Subject(imsi="001010000000001"), Subject(imsi="001010000000002")
    one = session(bearer="5", subject=phone)
    assert share(one, session(bearer="6", subject=phone))
    assert not share(one, session(bearer="6", subject=other))
    assert not share(one, session(subject=phone))
    assert not share(session(bearer="5", subject=Subject(mac="0010a4000001")), session(bearer="6"))
