import pytest

from enforcer.attempts.formats.leef import leef
from tests.attempts.formats.samples import SAMPLES, harmless, record


def fields(line: str) -> dict[str, str]:
    *header, attributes = line.split("|", 6)
    assert header == ["LEEF:2.0", "Enforcer", "Enforcer", "0.1.0", header[4], "x09"]
    return dict(attribute.split("=", 1) for attribute in attributes.split("\t"))


def test_a_dns_attempt() -> None:
    line = leef(record("dns"))
    assert line.startswith("LEEF:2.0|Enforcer|Enforcer|0.1.0|dns-blocked|x09|devTime=2026-11-23T12:00:00.000Z\t")
    told = fields(line)
    assert (told["cat"], told["src"], told["domain"], told["count"]) == ("chat", "10.20.30.40", "a.chat.test", "3")
    assert told["sequence"] == "18421"
    assert "src" not in fields(leef(record("nobody")))


@pytest.mark.parametrize("name", SAMPLES)
def test_hostile_text_ends_no_attribute_and_no_line(name: str) -> None:
    line = leef(record(name))
    assert harmless(line.replace("\t", ""))
    usual = "loss" if name in {"loss", "start", "mark"} else "tls" if name in {"reset", "quic"} else "dns"
    if name in {"hostile", "mark", "reset", "quic"}:
        assert fields(line).keys() == fields(leef(record(usual))).keys(), "no attribute came in by a value"
