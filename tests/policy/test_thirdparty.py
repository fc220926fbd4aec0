from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Mistakes
from enforcer.policy.names import display, parse
from enforcer.policy.thirdparty import Format, Source, ThirdParty, read_names
from enforcer.wire.name import Name


def read(text: str, format_: Format = Format.AUTO, max_bad_lines: int = 10) -> ThirdParty:
    source = Source("others", "others.txt", "ads", format=format_, max_bad_lines=max_bad_lines)
    return read_names(text.encode().splitlines(keepends=True), source)


def shown(names: dict[Name, int] | object) -> dict[str, int]:
    assert isinstance(names, dict)
    return {display(name): line for name, line in names.items()}


def test_a_domain_list_gives_suffixes() -> None:
    text = "# ads\n\na.test\nB.Test.\n*.c.test\n.d.test\ne.test # why\n! old\n; older\nbücher.test\na.test\n"
    found = read(text)
    assert found.format is Format.DOMAINS
    assert shown(found.suffixes) == {
        "a.test": 3, "b.test": 4, "c.test": 5, "d.test": 6, "e.test": 7, "xn--bcher-kva.test": 10,
    }  # fmt: skip
    assert (found.exacts, found.passes, found.bad, found.ignored) == ({}, {}, 0, 0)


def test_a_hosts_file_gives_exact_names_and_nothing_of_the_machine_itself() -> None:
    text = (
        "127.0.0.1 localhost\n127.0.0.1\tlocalhost.localdomain\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\n"
        "0.0.0.0 a.test\n:: B.test c.test # both\n192.0.2.1 intranet.test\n"
    )
    found = read(text)
    assert found.format is Format.HOSTS
    assert shown(found.exacts) == {"a.test": 5, "b.test": 6, "c.test": 6}
    assert (found.suffixes, found.bad, found.ignored) == ({}, 0, 1)


def test_an_adblock_list_gives_suffixes_and_what_it_lets_through() -> None:
    text = (
        "[Adblock Plus 2.0]\n! Title: ads\n||a.test^\n||b.test^$important\n||c.test^$all\n||d.test^$third-party\n"
        "@@||ok.a.test^\n##.banner\nnews.test##.banner\n/banner/*\n||e.test/ads^\n||*.f.test^\n||192.0.2.1^\n# note\n"
    )
    found = read(text)
    assert found.format is Format.ADBLOCK
    assert shown(found.suffixes) == {"a.test": 3, "b.test": 4, "c.test": 5}
    assert shown(found.passes) == {"ok.a.test": 7}
    assert (found.bad, found.ignored) == (0, 7)


@pytest.mark.parametrize("text", ["com\n", "a_b c.test\n", "a..test\n", "<html>\n", "a" * 64 + ".test\n"])
def test_bad_lines_of_a_domain_list_are_counted(text: str) -> None:
    found = read("good.test\n" + text)
    assert (found.bad, found.bad_lines, len(found.suffixes)) == (1, (2,), 1)


def test_a_line_that_is_not_utf_8_is_a_bad_line() -> None:
    assert read_names([b"a.test\n", b"\xff.test\n"], Source("o", "o.txt", "ads")).bad_lines == (2,)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", [":" * 100_000 + "!", "a-" * 100_000, "é" * 100_000, "||" + "^" * 100_000])
def test_a_line_without_end_costs_no_time(text: str) -> None:
    assert read(f"good.test\n{text}\n", Format.DOMAINS).bad_lines == (2,)


@pytest.mark.parametrize("text", ["192.0.2.1\n", "192.0.2.0/24\n", "2001:db8::1\n", "::\n", "fe80::1%lo0\n"])
def test_addresses_in_a_domain_list_are_ignored(text: str) -> None:
    found = read(text, Format.DOMAINS)
    assert (found.bad, found.ignored, found.suffixes) == (0, 1, {})


@pytest.mark.parametrize("text", ["0.0.0.0 com\n", "0.0.0.0\n", "a.test b.test\n", "0.0.0.0 a..test\n"])
def test_bad_lines_of_a_hosts_file_are_counted(text: str) -> None:
    found = read("0.0.0.0 good.test\n" + text)
    assert (found.bad, found.bad_lines, len(found.exacts)) == (1, (2,), 1)


@pytest.mark.parametrize("text", ["||a b^\n", "<html lang=en>\n", "||com^\n", "Service unavailable\n"])
def test_bad_lines_of_an_adblock_list_are_counted(text: str) -> None:
    found = read("||good.test^\n" + text)
    assert (found.bad, found.bad_lines, len(found.suffixes)) == (1, (2,), 1)


def test_more_bad_lines_than_allowed_refuse_the_list_and_name_the_first_ones() -> None:
    with pytest.raises(Mistakes) as error:
        read("<!doctype html>\n<html>\n<p>\n", max_bad_lines=1)
    assert [str(mistake) for mistake in error.value.mistakes] == [
        'others.txt:1: "<!doctype html>" is not a domain name',
        'others.txt:2: "<html>" is not a domain name',
        "others.txt: more than 1 bad lines; mend the list, or raise max_bad_lines",
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert shown(read("\ufeffa.test\nb.test\n").suffixes) == {"a.test": 1, "b.test": 2}


def test_an_empty_list_is_a_list() -> None:
    assert read("").suffixes == {}
    assert read("# nothing\n\n").format is Format.DOMAINS


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("! title\na.test\n", Format.DOMAINS),
        ("! title\n/banner/\n||a.test^\n", Format.ADBLOCK),
        ("# title\nnews.test##.banner\n", Format.ADBLOCK),
        ("#\n0.0.0.0 a.test\n", Format.HOSTS),
        ("*.a.test\n", Format.DOMAINS),
    ],
)
def test_the_first_line_that_is_no_comment_decides_the_format(text: str, format_: Format) -> None:
    assert read(text).format is format_


def test_a_list_may_be_told_what_it_is() -> None:
    assert read("||a.test^\n", Format.ADBLOCK).suffixes == {parse("a.test"): 1}
    assert read("||a.test^\n", Format.DOMAINS).bad == 1


PREFIXES = {Format.DOMAINS: ("", ""), Format.HOSTS: ("0.0.0.0 ", ""), Format.ADBLOCK: ("||", "^")}
LABELS = st.text("ab1-", min_size=1, max_size=4) | st.sampled_from(["x" * 63, "x" * 64, "", "é", "A"])
TEXTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(st.sampled_from(list(PREFIXES)), st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_a_batch_says_the_same_as_its_lines_one_by_one(format_: Format, texts: list[str], end: str) -> None:
    before, after = PREFIXES[format_]
    lines = [f"{before}{text}{after}" for text in texts]
    whole = read(end.join(lines), format_, max_bad_lines=100)
    single = [read(line, format_, max_bad_lines=100) for line in lines]
    assert set(whole.suffixes) == {name for each in single for name in each.suffixes}
    assert set(whole.exacts) == {name for each in single for name in each.exacts}
    assert (whole.bad, whole.ignored) == (sum(each.bad for each in single), sum(each.ignored for each in single))


def test_lines_without_their_ends_are_not_run_together() -> None:
    assert set(read_names([b"a.test", b"b.test"], Source("o", "o.txt", "ads")).suffixes) == {
        parse("a.test"),
        parse("b.test"),
    }


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_octets_are_a_list_or_mistakes(lines: list[bytes]) -> None:
    with suppress(Mistakes):
        found = read_names([line + b"\n" for line in lines], Source("o", "o.txt", "ads", max_bad_lines=3))
        for name in (*found.suffixes, *found.exacts, *found.passes):
            assert parse(display(name)) == name
