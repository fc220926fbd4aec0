"""RFC 5424: the grammar of §6, and what §6.3.3 and §6.4 ask for."""

import re

import pytest

from enforcer.attempts.formats.syslog import PEN, counted, syslog
from tests.attempts.formats.samples import SAMPLES, harmless, record

VALUE = r'"(?:[^"\\\]]|\\["\\\]])*"'
ELEMENT = rf"\[[!-<>-\\^-~]{{1,32}}(?: [!-<>-\\^-~]{{1,32}}={VALUE})*\]"
GRAMMAR = re.compile(
    r"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
    rf"((?:{ELEMENT})+) \ufeff(.*)"
)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_message_is_of_the_grammar(name: str) -> None:
    message = syslog(record(name), "{}", PEN).decode()
    assert GRAMMAR.fullmatch(message)
    assert harmless(message.replace("\ufeff", ""))


def test_a_dns_attempt() -> None:
    message = syslog(record("dns"), "CEF:0|…", 4711).decode()
    assert message == (
        "<133>1 2026-11-23T12:00:00.000Z gw1 enforcer - dns-blocked "
        f'[meta sequenceId="18421"][enforcer@4711 id="{record("dns").id}" device="dev-7f3a91c2" name="a.chat.test" '
        'service="chat" ban="tbs-2023-10-30" action="blocked" evidence="app" count="3"] \ufeffCEF:0|…'
    )


def test_a_loss_is_a_warning() -> None:
    assert syslog(record("loss"), "", PEN).startswith(b"<132>1 ")


def test_values_are_escaped() -> None:
    assert rb'device="x\\u000d\\u000a\\u0000\\u0009\\u001b[31m|=\]\"\\\\u202e\\u2028,;=cmd"' in syslog(
        record("hostile"), "", PEN
    )


def test_octets_are_counted_not_characters() -> None:
    assert counted("é".encode()) == b"2 \xc3\xa9"
