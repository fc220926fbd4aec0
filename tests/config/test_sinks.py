from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.attempts.formats.render import Format
from enforcer.config.describe import show
from enforcer.config.model import Config
from enforcer.config.sinks import SinkUrl, parse_sink_url

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]
type Refused = Callable[[Changes], list[str]]

SYSLOG = {"type": "syslog", "url": "tls://siem.example"}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("tls://siem.example", SinkUrl("tls", "siem.example", 6514)),
        ("tcp://[2001:db8::1]:514", SinkUrl("tcp", "2001:db8::1", 514)),
        ("https://c.example/in/?x=1", SinkUrl("https", "c.example", 443, "/in/?x=1")),
        ("https://c.example:8088/", SinkUrl("https", "c.example", 8088)),
    ],
)
def test_urls_of_receivers(text: str, url: SinkUrl) -> None:
    assert parse_sink_url(text) == url
    assert parse_sink_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("siem.example:6514", "is not a URL of tls, tcp, udp, http, https"),
        ("ftp://siem.example", "is not a URL"),
        ("tls://siem.example:0x", "is not a URL"),
        ("tls://", "names no host"),
        ("udp://siem.example", "has no port number"),
        ("tls://siem.example/x", "has a path, which tls does not know"),
    ],
)
def test_what_is_no_url_of_a_receiver(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_sink_url(text)


def test_a_secret_in_a_url_is_refused_and_not_printed(refused: Refused) -> None:
    (said,) = refused({"attempts.sinks": [{"type": "http", "url": "https://u:s3cret@c.example/"}]})
    assert said.startswith("attempts.sinks[0].url: a URL holds no secret here")
    assert "s3cret" not in said


def test_a_sink_has_a_name_and_a_format(configured: Configured) -> None:
    sinks = configured(
        {
            "attempts.sinks": [
                SYSLOG,
                {"type": "gelf", "url": "udp://graylog.example:12201"},
                {"type": "elastic", "url": "https://elastic.example:9200", "name": "search"},
                {"type": "file", "path": "out.ndjson", "format": "ocsf"},
                {"type": "kafka", "brokers": ["k:9092"], "options": {"enable.idempotence": True, "linger.ms": 5}},
            ]
        }
    ).attempts.sinks
    assert [sink.label for sink in sinks] == ["syslog", "gelf", "search", "file", "kafka"]
    assert [sink.form for sink in sinks] == [Format.JSON, Format.GELF, Format.ECS, Format.OCSF, Format.JSON]
    assert sinks[4].options == {"enable.idempotence": "true", "linger.ms": "5"}


def test_what_is_shown_loads_to_the_same(configured: Configured, load_text: Callable[[str], Config]) -> None:
    config = configured({"attempts.sinks": [SYSLOG, {"type": "file", "path": "/var/x", "max_bytes": "1MB"}]})
    assert load_text(show(config)) == config


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        (
            {"type": "splunk", "url": "https://s.example"},
            "[0].secret_file: missing; a sink of type splunk needs it, as in",
        ),
        ({"type": "kafka"}, "[0].brokers: missing; a sink of type kafka needs it"),
        ({"type": "file"}, "[0].path: missing; a sink of type file needs it"),
        ({"type": "syslog", "url": "https://s.example"}, "[0].url: a sink of type syslog takes tls://, tcp://, udp://"),
        ({**SYSLOG, "format": "gelf"}, '[0].format: "gelf" is no format for syslog; write one of'),
        ({**SYSLOG, "format": "xml"}, '[0].format: "xml" is not a choice here'),
        ({**SYSLOG, "topic": "x"}, "[0].topic: means nothing to a sink of type syslog; leave it out"),
        ({**SYSLOG, "certificate": "c.pem"}, "[0]: certificate and key belong together"),
        ({**SYSLOG, "url": "tcp://s:1", "ca": "c.pem"}, "[0].ca: there is no TLS over tcp://"),
        ({"type": "kafka", "brokers": ["k:9092"], "username": "u"}, "[0]: username needs the password"),
        ({"type": "kafka", "brokers": ["k"]}, '[0].brokers[0]: "k" is not a broker'),
        ({"type": "smtp"}, '[0].type: "smtp" is not a choice here'),
    ],
)
def test_what_does_not_hold_together(refused: Refused, tmp_path: Path, sink: dict[str, object], said: str) -> None:
    (tmp_path / "c.pem").touch()
    mistakes = refused({"attempts.sinks": [sink]})
    assert mistakes[0].startswith(f"attempts.sinks{said}")


def test_names_are_given_once(refused: Refused) -> None:
    (said,) = refused({"attempts.sinks": [SYSLOG, SYSLOG]})
    assert said == 'attempts.sinks[1]: a second sink is named "syslog"; give each a name of its own'
