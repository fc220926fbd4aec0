import json
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from enforcer.attempts.formats.render import Format
from enforcer.attempts.sinks import Refused
from enforcer.attempts.sinks.http import Collector, Form, HttpSink
from enforcer.attempts.sinks.stream import Trust
from enforcer.errors import Unavailable
from tests.attempts.formats.samples import SAMPLES
from tests.attempts.sinks.receivers import Answer, http_receiver, outgoing

ONE, TWO = outgoing(), outgoing(SAMPLES["start"])
CHANNEL = UUID(int=7)

type Asked = list[tuple[str, dict[str, str], bytes]]


def keeping(asked: Asked, status: int = 200, value: object = None) -> Answer:
    def answer(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        asked.append((path, headers, body))
        return status, value

    return answer


def sink(form: Form, url: str, sleep: Callable[[float], None] = lambda _: None, **more: object) -> HttpSink:
    return HttpSink(Collector(form, url, Trust(), **more), sleep)  # type: ignore[arg-type]


def test_plain_batches_are_lines(tmp_path: Path) -> None:
    asked: Asked = []
    (tmp_path / "token").write_text("s3cret\n")
    with http_receiver(keeping(asked)) as url:
        one = sink(Form.PLAIN, f"{url}/in?x=1", secret_file=tmp_path / "token")
        one.check()
        one.send([ONE, TWO])
        one.send([ONE])
        one.close()
    (path, headers, body), _ = asked
    assert (path, headers["Authorization"], headers["Content-Type"]) == (
        "/in?x=1",
        "Bearer s3cret",
        "application/x-ndjson",
    )
    assert body.decode() == f"{ONE.text}\n{TWO.text}\n"


def test_splunk_events_have_their_own_time(tmp_path: Path) -> None:
    asked: Asked = []
    (tmp_path / "token").write_text("t")
    with http_receiver(keeping(asked, value={"text": "Success", "code": 0})) as url:
        one = sink(Form.SPLUNK, url, secret_file=tmp_path / "token", channel=CHANNEL)
        one.send([ONE, TWO, outgoing(form=Format.CEF)])
        one.close()
    ((path, headers, body),) = asked
    assert (path, headers["Authorization"]) == ("/services/collector/event", "Splunk t")
    events = [json.loads(line) for line in body.splitlines()]
    assert [event["sourcetype"] for event in events] == ["enforcer:attempt", "enforcer:event", "enforcer:attempt"]
    assert events[0]["time"] == 1795435200.0
    assert events[0]["event"] == json.loads(ONE.text)
    assert events[2]["event"].startswith("CEF:0|")


def test_splunk_batches_wait_for_their_acknowledgement() -> None:
    asked: list[str] = []
    waited: list[float] = []

    def answer(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        asked.append(path)
        assert headers["X-Splunk-Request-Channel"] == str(CHANNEL)
        if path == "/services/collector/event":
            return 200, {"text": "Success", "code": 0, "ackId": 5}
        assert json.loads(body) == {"acks": [5]}
        return 200, {"acks": {"5": len(asked) > 2}}

    with http_receiver(answer) as url:
        one = sink(Form.SPLUNK, url, waited.append, channel=CHANNEL, acknowledge=True)
        one.send([ONE])
        one.close()
    acks = f"/services/collector/ack?channel={CHANNEL}"
    assert asked == ["/services/collector/event", acks, acks]
    assert len(waited) == 1


@pytest.mark.parametrize("value", [{"text": "Success"}, {"ackId": 1, "acks": {"1": False}}])
def test_a_batch_that_is_not_acknowledged_is_not_delivered(value: object) -> None:
    with http_receiver(keeping([], value=value)) as url:
        one = sink(Form.SPLUNK, url, channel=CHANNEL, acknowledge=True)
        with pytest.raises(Unavailable, match="acknowledge"):
            one.send([ONE])
        one.close()


def test_elastic_documents_are_named_by_their_ids(tmp_path: Path) -> None:
    asked: Asked = []
    items = [{"create": {"status": 201}}, {"create": {"status": 409}}]
    ecs = [outgoing(form=Format.ECS), outgoing(SAMPLES["start"], Format.ECS)]
    (tmp_path / "key").write_text("k")
    with http_receiver(keeping(asked, value={"errors": True, "items": items})) as url:
        one = sink(Form.ELASTIC, url, secret_file=tmp_path / "key")
        one.send(ecs)
        one.close()
    ((path, headers, body),) = asked
    assert (path, headers["Authorization"]) == ("/logs-enforcer.attempts-default/_bulk", "ApiKey k")
    first, document, *_ = map(json.loads, body.splitlines())
    assert first == {"create": {"_id": ecs[0].record.id}}
    assert document["event"]["id"] == ecs[0].record.id


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (429, Unavailable), (503, Unavailable)])
def test_elastic_says_for_each_document_what_became_of_it(status: int, error: type[Exception]) -> None:
    value = {"errors": True, "items": [{"create": {"status": status}}]}
    with http_receiver(keeping([], value=value)) as url:
        one = sink(Form.ELASTIC, url)
        with pytest.raises(error, match=str(status)):
            one.send([outgoing(form=Format.ECS)])
        one.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (413, Refused), (401, Unavailable), (429, Unavailable), (500, Unavailable), (301, Unavailable)],
)
@pytest.mark.parametrize("form", Form)
def test_what_is_refused_and_what_may_pass(form: Form, status: int, error: type[Exception]) -> None:
    with http_receiver(keeping([], status)) as url:
        one = sink(form, url)
        with pytest.raises(error, match=f"HTTP {status}"):
            one.send([ONE])
        one.close()


def test_nobody_there_and_a_secret_that_is_gone_are_unavailable(tmp_path: Path) -> None:
    with http_receiver(keeping([])) as url:
        pass
    with pytest.raises(Unavailable, match=url):
        sink(Form.PLAIN, url).send([ONE])
    with pytest.raises(Unavailable, match="token: cannot be read"):
        sink(Form.PLAIN, url, secret_file=tmp_path / "token").send([ONE])


def test_a_new_connection_is_made_after_a_lost_one() -> None:
    asked: Asked = []
    with http_receiver(keeping(asked)) as url:
        one = sink(Form.PLAIN, url, time.sleep)
        one.send([ONE])
    with pytest.raises(Unavailable):
        one.send([ONE])
    with http_receiver(keeping(asked), port=int(url.rpartition(":")[2])):
        one.send([ONE])
    one.close()
    assert len(asked) == 2
