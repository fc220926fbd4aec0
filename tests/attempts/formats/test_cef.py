import re

import pytest

from enforcer.attempts.formats.cef import cef
from tests.attempts.formats.samples import SAMPLES, harmless, record

# What ArcSight reads: seven fields between bars that have no backslash before them, then keys with their values.
HEADER = re.compile(r"CEF:0\|(?:(?:[^|\\]|\\[|\\])*\|){6}")
PAIR = re.compile(r"(?:^| )([a-zA-Z0-9]+)=((?:[^=\\]|\\[=\\])*?)(?= [a-zA-Z0-9]+=|$)")


def fields(line: str) -> dict[str, str]:
    head = HEADER.match(line)
    assert head is not None
    return dict(PAIR.findall(line[head.end() :]))


def test_a_dns_attempt() -> None:
    line = cef(record("dns"))
    assert line.startswith("CEF:0|Enforcer|Enforcer|0.1.0|dns-blocked|DNS query blocked by policy|6|rt=1795435200000 ")
    told = fields(line)
    assert (told["src"], told["spt"], told["proto"], told["shost"]) == ("10.20.30.40", "49731", "UDP", "dev-7f3a91c2")
    assert (told["dhost"], told["reason"], told["cnt"]) == ("a.chat.test", "NXDOMAIN", "3")
    assert (told["cs1"], told["cs1Label"], told["cn1"]) == ("tbs-2023-10-30", "Policy", "15")
    assert told["deviceExternalId"] == "gw1"


def test_what_is_not_known_is_left_out() -> None:
    told = fields(cef(record("nobody")))
    assert not told.keys() & {"src", "shost", "dst"}


@pytest.mark.parametrize(("name", "severity"), [("tls", "4"), ("observed", "1"), ("loss", "8"), ("start", "1")])
def test_severity(name: str, severity: str) -> None:
    assert cef(record(name)).split("|")[6] == severity


@pytest.mark.parametrize("name", SAMPLES)
def test_hostile_text_ends_no_field_and_no_line(name: str) -> None:
    line = cef(record(name))
    assert harmless(line)
    usual = fields(cef(record("loss" if name in {"loss", "start", "mark"} else "dns"))).keys()
    if name in {"hostile", "mark"}:
        assert fields(line).keys() == usual, "no key came in by a value"


def test_escapes_are_those_of_the_format() -> None:
    told = fields(cef(record("hostile")))
    assert told["shost"] == r"x\\u000d\\u000a\\u0000\\u0009\\u001b[31m|\=]" + r'"\\\\u202e\\u2028,;\=cmd'
