import pytest

from enforcer.policy.rules import Confidence, Evidence, Kind, Port, Rule, Transport


@pytest.mark.parametrize(("kind", "trigger"), [(Kind.SUFFIX, "chat.test"), (Kind.HTTP_PATH, "dl.chat.test/app/")])
def test_a_rule_is_named_by_list_kind_and_trigger(kind: Kind, trigger: str) -> None:
    rule = Rule(kind, trigger, "chat", "lists/chat.yaml", 7, "chat", "media", Evidence.APP, Confidence.SINGLE, "DOC")
    assert rule.id == f"chat/{kind.value}/{trigger}"


def test_a_port_is_written_with_its_transport() -> None:
    assert str(Port(Transport.UDP, 443)) == "udp/443"
