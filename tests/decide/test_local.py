import dns.message
import pytest

from enforcer.decide.local import LocalRecords, parse_record
from enforcer.errors import Malformed
from enforcer.policy.names import parse
from enforcer.wire.dns import read_query

RECORDS = LocalRecords(
    parse_record(line)
    for line in (
        "printer.corp.test 300 A 192.0.2.7",
        "printer.corp.test. 300 A 192.0.2.8",
        "printer.corp.test 60 AAAA 2001:db8::7",
        "Print.corp.test 60 CNAME www.corp.test",
        "www.corp.test 60 CNAME printer.corp.test",
        "away.corp.test 60 CNAME www.other.test",
        "one.corp.test 60 CNAME two.corp.test",
        "two.corp.test 60 CNAME one.corp.test",
        'note.corp.test 60 TXT "two words"',
        "7.2.0.192.in-addr.arpa 60 PTR printer.corp.test",
    )
)


def asked(name: str, rtype: str = "A") -> list[str] | None:
    """The answer's records as text; None for a name that is not here."""
    query = read_query(dns.message.make_query(name, rtype).to_wire())
    wire = RECORDS.answer(query, parse("ns.test"), parse("host.test"), 60)
    if wire is None:
        return None
    message = dns.message.from_wire(wire)
    assert len(message.authority) == (0 if message.answer else 1)
    return [line for rrset in message.answer for line in str(rrset).splitlines()]


def test_a_name_has_the_records_that_are_written() -> None:
    assert asked("printer.corp.test") == [
        "printer.corp.test. 300 IN A 192.0.2.7",
        "printer.corp.test. 300 IN A 192.0.2.8",
    ]
    assert asked("PRINTER.corp.test", "AAAA") == ["printer.corp.test. 60 IN AAAA 2001:db8::7"]
    assert asked("note.corp.test", "TXT") == ['note.corp.test. 60 IN TXT "two words"']
    assert asked("7.2.0.192.in-addr.arpa", "PTR") == ["7.2.0.192.in-addr.arpa. 60 IN PTR printer.corp.test."]
    assert len(asked("printer.corp.test", "ANY") or []) == 3


def test_a_type_that_is_not_written_is_nodata_and_a_name_that_is_not_is_asked_for() -> None:
    assert asked("note.corp.test") == []
    assert asked("corp.test") is None
    assert asked("below.printer.corp.test") is None


def test_aliases_are_followed_among_the_records_and_a_circle_ends() -> None:
    assert [line.split()[3] for line in asked("print.corp.test") or []] == ["CNAME", "CNAME", "A", "A"]
    assert asked("print.corp.test", "CNAME") == ["print.corp.test. 60 IN CNAME www.corp.test."]
    assert asked("away.corp.test") == ["away.corp.test. 60 IN CNAME www.other.test."]
    assert len(asked("one.corp.test") or []) <= 8


@pytest.mark.parametrize(
    "text",
    [
        *("", "a.test", "a.test 60 A", "a.test x A 192.0.2.1", "a.test -1 A 192.0.2.1", "a.test 86401 A 192.0.2.1"),
        *("a.test 60 MX 10 b.test", "a.test 60 A 2001:db8::1", "a.test 60 AAAA 192.0.2.1", "a..test 60 A 192.0.2.1"),
        *("a.test 60 CNAME b..test", f"a.test 60 TXT {'x' * 256}"),
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises((ValueError, Malformed)):
        parse_record(text)
