import json
import re

import pytest

from enforcer.attempts.formats.gelf import gelf
from tests.attempts.formats.samples import SAMPLES, harmless, record


def test_a_dns_attempt() -> None:
    message = gelf(record("dns"))
    assert (message["version"], message["host"], message["timestamp"]) == ("1.1", "gw1", 1795435200.0)
    assert (message["_device"], message["_name"], message["_count"]) == ("dev-7f3a91c2", "a.chat.test", 3)
    assert message["level"] == 5
    assert gelf(record("loss"))["level"] == 4
    assert gelf(record("loss"))["_nested_id"] == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_every_field_has_a_name_and_a_type_that_graylog_takes(name: str) -> None:
    message = gelf(record(name))
    assert "_id" not in message
    for key, value in message.items():
        assert key in {"version", "host", "short_message", "timestamp", "level"} or re.fullmatch(r"_[\w.-]+", key)
        assert type(value) in {str, int, float}
    assert harmless(json.dumps(message, ensure_ascii=False))
