"""Real receivers of records, each of which can go away and come back."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer

from tests.certificates import Authority
from tests.processes.site import free_port
from tests.tools import need

_RSYSLOG = """\
global(workDirectory="{folder}" defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="message" type="string" string="%msg%\\n")
action(type="omfile" file="{folder}/messages" template="message")
"""

_CLUSTER = """\
from confluent_kafka import Producer
owner = Producer({"test.mock.num.brokers": "1", "bootstrap.servers": "mock", "log_level": "0"})
print(*(f"{each.host}:{each.port}" for each in owner.list_topics(timeout=10).brokers.values()), sep=",", flush=True)
while True:
    owner.poll(1)
"""


class Rsyslog:
    """rsyslogd that takes syslog over TLS from whoever has a certificate of our authority."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = Authority(folder)
        self.port = free_port()
        pair = self.authority.pair("siem", "localhost")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "rsyslog.conf").write_text(
            _RSYSLOG.format(
                folder=folder, ca=self.authority.pem, certificate=pair.certificate, key=pair.key, port=self.port
            )
        )

    def start(self) -> None:
        command: list[str | Path] = [
            need("rsyslogd"),
            "-n",
            "-f",
            self._folder / "rsyslog.conf",
            "-i",
            self._folder / "pid",
        ]
        with (self._folder / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def messages(self) -> list[str]:
        path = self._folder / "messages"
        return path.read_text().replace("\ufeff", "").splitlines() if path.exists() else []


class Kafka:
    """librdkafka's mock cluster in a process of its own, which can be held."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", _CLUSTER], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.brokers = self._process.stdout.readline().strip().split(",")

    def hold(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def consumed(self, topic: str, seconds: float = 5.0) -> list[tuple[str, str]]:
        """Keys and values of what is in a topic, as far as it can be read in so many seconds after the first."""
        settings = {"bootstrap.servers": ",".join(self.brokers), "group.id": "e2e", "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        consumer.subscribe([topic])
        found = consumer.consume(1, timeout=30.0)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            found += consumer.consume(500, timeout=left)
        consumer.close()
        return [((message.key() or b"").decode(), (message.value() or b"").decode()) for message in found]

    def close(self) -> None:
        self.release()
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
