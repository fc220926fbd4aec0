import json

import pytest

from enforcer.attempts.formats.render import Format, render
from tests.attempts.formats.samples import SAMPLES, harmless, line_of, record


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_is_one_line_in_every_format(form: Format, name: str) -> None:
    text = render(record(name), line_of(SAMPLES[name]), form)
    assert harmless(text.replace("\t", ""))
    if form not in {Format.CEF, Format.LEEF}:
        assert isinstance(json.loads(text), dict)
        assert text.isascii()


def test_json_is_the_line_of_the_log() -> None:
    line = line_of(SAMPLES["dns"])
    assert render(record("dns"), line, Format.JSON).encode() == line
