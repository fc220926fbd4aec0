import pytest

from enforcer.policy.names import display, parse
from enforcer.policy.protections import BUILT_IN, covers
from enforcer.policy.rules import Kind


@pytest.mark.parametrize(
    ("kind", "trigger", "name", "covered"),
    [
        (Kind.EXACT, "qq.test", "qq.test", True),
        (Kind.EXACT, "qq.test", "a.qq.test", False),
        (Kind.SUFFIX, "qq.test", "qq.test", True),
        (Kind.SUFFIX, "qq.test", "a.b.qq.test", True),
        (Kind.SUFFIX, "qq.test", "aqq.test", False),
        (Kind.SUFFIX, "a.qq.test", "qq.test", False),
        (Kind.SUFFIX, "qq.test", "b.test", False),
    ],
)
def test_a_suffix_covers_whole_labels_only(kind: Kind, trigger: str, name: str, covered: bool) -> None:
    assert covers(kind, parse(trigger), parse(name)) is covered


def test_a_label_that_contains_the_suffix_as_octets_is_not_covered() -> None:
    assert not covers(Kind.SUFFIX, parse("qq.test"), b"\x09x\x02qq\x04test\0")


def test_the_built_in_names_are_written_in_their_normal_form_and_once() -> None:
    assert [each.name for each in BUILT_IN] == [display(parse(each.name)) for each in BUILT_IN]
    assert len({(each.kind, each.name) for each in BUILT_IN}) == len(BUILT_IN)


def test_push_time_and_portals_are_protected() -> None:
    protected = [(each.kind, parse(each.name)) for each in BUILT_IN]
    for name in ("17-courier.push.apple.com", "mtalk.google.com", "2.pool.ntp.org", "connectivitycheck.gstatic.com"):
        assert any(covers(kind, kept, parse(name)) for kind, kept in protected), name
