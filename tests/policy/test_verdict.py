from datetime import UTC, datetime

import pytest

from enforcer.policy.rules import Answer, Mode
from enforcer.policy.verdict import Action, Client, Verdict


def test_a_client_is_enforced_and_has_no_exemption_unless_somebody_says_so() -> None:
    client = Client(realm="office")
    assert (client.mode, dict(client.exempt)) == (Mode.ENFORCE, {})


def test_the_exemptions_of_one_client_are_not_those_of_another() -> None:
    until = datetime(2027, 1, 1, tzinfo=UTC)
    assert Client("office", exempt={"chat": until}).exempt == {"chat": until}
    with pytest.raises(TypeError):
        Client("office").exempt["chat"] = until  # type: ignore[index]
    assert dict(Client("office").exempt) == {}


def test_a_verdict_without_a_rule_has_nothing_to_record() -> None:
    verdict = Verdict(Action.ALLOW)
    assert (verdict.rule, verdict.matched, verdict.answer, verdict.why) == (None, None, Answer.NXDOMAIN, ())
