"""What is printed is safe to look at, and easy to take apart."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.cli.output import print_facts, print_json, print_table, printable, say, second, some


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("long.weixin.qq.com", "long.weixin.qq.com"),
        ("Bloqué par la politique de l’organisation", "Bloqué par la politique de l’organisation"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("two\nlines", "two\\u000alines"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\x9b31m", "\\u009b31m"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_number(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_what_is_printable_stays_so(text: str) -> None:
    assert printable(printable(text)) == printable(text)


def test_a_table_has_a_header_and_dashes_for_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "count"), [("a.test", 12), (None, 3)])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name    count",
        "a.test     12",
        "-           3",
    ]


def test_a_cell_is_neither_markup_nor_cut_where_no_terminal_limits_it(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    print_table(("name",), [(f"[red]{long}[/red] :bomb: \x1b[2J",)])
    assert f"[red]{long}[/red] :bomb: \\u001b[2J" in capsys.readouterr().out


def test_no_colour_is_written_to_what_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("a",)])
    assert "\x1b" not in capsys.readouterr().out


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_folds_what_is_too_wide_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # which has 80 columns
    print_table(("name",), [("x" * 200,)])
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "".join(line.strip() for line in lines[1:]) == "x" * 200


def test_facts_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"group": None, "addresses": ["10.0.0.1", "10.0.0.2"], "count": 3})
    assert capsys.readouterr().out == "group      -\naddresses  10.0.0.1\n           10.0.0.2\ncount      3\n"


def test_an_object_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": "Clavardage privé\n\x1b"})
    assert capsys.readouterr().out == '{"title": "Clavardage priv\\u00e9\\n\\u001b"}\n'


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb")
    assert capsys.readouterr().out == "a\\u000ab\n"


def test_moments_are_in_utc_and_to_the_second() -> None:
    assert second(1_795_435_200_999) == "2026-11-23T12:00:00Z"


def test_one_is_not_several() -> None:
    assert [some(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
