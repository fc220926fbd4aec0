from enforcer.decide.flow import Seen, Shows
from enforcer.gateway.marks import NUMBER
from enforcer.gateway.remembered import Remembered
from enforcer.policy.names import parse
from enforcer.policy.verdict import Layer


def shown(name: str) -> Seen:
    return Seen(Layer.TLS, Shows.NAME, (parse(name),))


def test_what_is_shown_alike_has_one_number() -> None:
    kept = Remembered()
    first = kept.number(shown("a.test"))
    assert kept.number(shown("b.test")) != first
    assert kept.number(shown("a.test")) == first
    assert kept.seen(first) == shown("a.test")
    assert len(kept) == 2


def test_a_number_that_nobody_gave_means_nothing() -> None:
    assert Remembered().seen(5) is None


def test_what_was_shown_longest_ago_makes_room() -> None:
    kept = Remembered(kept_max=2)
    a, b = kept.number(shown("a.test")), kept.number(shown("b.test"))
    kept.number(shown("a.test"))
    c = kept.number(shown("c.test"))
    assert (kept.seen(a), kept.seen(b), kept.seen(c)) == (shown("a.test"), None, shown("c.test"))


def test_numbers_go_round_without_meaning_two_things() -> None:
    kept = Remembered(kept_max=NUMBER + 10)
    kept._next = NUMBER
    last, first = kept.number(shown("a.test")), kept.number(shown("b.test"))
    assert (last, first) == (NUMBER, 0)
    kept._next = last
    assert kept.number(shown("c.test")) == last
    assert kept.seen(last) == shown("c.test")
    assert kept.number(shown("a.test")) != last
