"""HTTP batches: newline-delimited JSON as it is, Splunk's event collector (HEC), and Elasticsearch's `_bulk`.

A receiver that says 400, 413 or 422 refuses what it was sent; everything else that is not a success may pass.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import httpx

from enforcer.attempts.formats.record import Notice
from enforcer.attempts.sinks import Outgoing, Refused
from enforcer.attempts.sinks.stream import TIMEOUT_S, Trust
from enforcer.errors import Unavailable

_REFUSED = frozenset({400, 413, 422})
_ACK_STEP_S, _ACK_S = 1.0, 60.0
_CONFLICT = 409  # the document is there already: sent before


class Form(StrEnum):
    """How a batch is put."""

    PLAIN = "http"
    SPLUNK = "splunk"
    ELASTIC = "elastic"


@dataclass(frozen=True, slots=True)
class Collector:
    """Where batches go. url: whole for plain; for Splunk and Elastic the part before their own paths.

    secret_file: a token (Splunk's, a bearer, an Elastic API key), read each time it is needed anew. channel: Splunk's,
    any UUID of this sender's own. acknowledge: wait until Splunk has indexed a batch. target: Elastic's data stream.
    """

    form: Form
    url: str
    trust: Trust
    secret_file: Path | None = None
    channel: UUID | None = None
    acknowledge: bool = False
    target: str = "logs-enforcer.attempts-default"


class HttpSink:
    """See Sink. sleep: waits for so many seconds."""

    settle_s = 0.0

    def __init__(self, collector: Collector, sleep: Callable[[float], None]) -> None:
        self._to, self._sleep = collector, sleep
        self._client: httpx.Client | None = None

    def send(self, batch: Sequence[Outgoing]) -> None:
        """See Sink."""
        match self._to.form:
            case Form.PLAIN:
                self._post("", _lines(each.text for each in batch), "application/x-ndjson")
            case Form.SPLUNK:
                answer = self._post("/services/collector/event", _lines(map(_hec, batch)), "application/json")
                if self._to.acknowledge:
                    self._acknowledged(answer.get("ackId"))
            case Form.ELASTIC:
                body = _lines(line for each in batch for line in (_create(each), each.text))
                answer = self._post(f"/{self._to.target}/_bulk", body, "application/x-ndjson")
                if answer.get("errors"):
                    self._look_at(answer.get("items"), alone=len(batch) == 1)

    def check(self) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, path: str, body: bytes, kind: str) -> Mapping[str, object]:
        """What the receiver answers as an object; nothing where it answers something else."""
        url = self._to.url + path
        try:
            answer = self._connected().post(url, content=body, headers={"Content-Type": kind})
        except httpx.HTTPError as error:
            raise self._away(str(error) or type(error).__name__) from error
        if answer.status_code in _REFUSED:
            raise Refused(f"{self._to.url}: HTTP {answer.status_code}")
        if not answer.is_success:
            raise self._away(f"HTTP {answer.status_code}")
        try:
            said = answer.json()
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def _connected(self) -> httpx.Client:
        if self._client is None:
            to = self._to
            secure = to.url.startswith("https:")
            self._client = httpx.Client(
                verify=to.trust.context() if secure else False,
                timeout=TIMEOUT_S,
                headers=self._headers(),
                trust_env=False,
            )
        return self._client

    def _headers(self) -> dict[str, str]:
        to = self._to
        headers = {"User-Agent": "enforcer"}
        if to.secret_file is not None:
            try:
                secret = to.secret_file.read_text().strip()
            except OSError as error:
                raise Unavailable(f"{to.secret_file}: cannot be read ({error.strerror})") from error
            scheme = {Form.PLAIN: "Bearer", Form.SPLUNK: "Splunk", Form.ELASTIC: "ApiKey"}[to.form]
            headers["Authorization"] = f"{scheme} {secret}"
        if to.channel is not None:
            headers["X-Splunk-Request-Channel"] = str(to.channel)
        return headers

    def _acknowledged(self, number: object) -> None:
        """Wait until Splunk has indexed a batch. Raises Unavailable when it does not say so in time."""
        if not isinstance(number, int):
            raise self._away("the collector acknowledges nothing; turn acknowledgement on for its token, or off here")
        for _ in range(round(_ACK_S / _ACK_STEP_S)):
            body = json.dumps({"acks": [number]}).encode()
            acks = self._post(f"/services/collector/ack?channel={self._to.channel}", body, "application/json").get(
                "acks"
            )
            if isinstance(acks, dict) and acks.get(str(number)) is True:
                return
            self._sleep(_ACK_STEP_S)
        raise self._away(f"batch {number} was not acknowledged within {_ACK_S:.0f} s")

    def _look_at(self, items: object, *, alone: bool) -> None:
        """Elastic answers for each document. Raises Refused or Unavailable when one is neither there nor was before."""
        statuses = [
            status
            for item in (items if isinstance(items, list) else [])
            for status in (_status(item),)
            if status >= 300 and status != _CONFLICT
        ]
        if any(status in _REFUSED for status in statuses):
            raise Refused(
                f"{self._to.url}: status {statuses[0]}" if alone else f"{self._to.url}: one of them is refused"
            )
        if statuses:
            raise self._away(f"status {statuses[0]}")

    def _away(self, why: str) -> Unavailable:
        self.close()
        return Unavailable(f"{self._to.url}: {why}")


def _lines(texts: Iterable[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def _hec(each: Outgoing) -> str:
    """An event of HEC: its own time, so that what waited is not indexed as of now."""
    record = each.record
    event = {
        "time": record.time_ms / 1000,
        "host": record.node,
        "source": "enforcer",
        "sourcetype": "enforcer:event" if isinstance(record, Notice) else "enforcer:attempt",
        "event": json.loads(each.text) if each.text.startswith("{") else each.text,
    }
    return json.dumps(event, separators=(",", ":"))


def _create(each: Outgoing) -> str:
    return json.dumps({"create": {"_id": each.record.id}}, separators=(",", ":"))


def _status(item: object) -> int:
    if isinstance(item, dict):
        for result in item.values():
            if isinstance(result, dict) and isinstance(result.get("status"), int):
                return int(result["status"])
    return 500
