import json

from enforcer.attempts.attempt import ATTEMPT_KEYS
from enforcer.attempts.log import read
from enforcer.console.plain import plain_record
from tests.console.lab import Lab


def test_a_record_is_as_it_stands_in_the_log(lab: Lab) -> None:
    lines = [line for line, _, _ in read(lab.site.log)]
    with lab.site.index() as index:
        line = index.numbered(2)
    assert line is not None
    record = plain_record(line)
    assert tuple(record) == ATTEMPT_KEYS
    assert lines[1].decode() == json.dumps(record, separators=(",", ":"))
