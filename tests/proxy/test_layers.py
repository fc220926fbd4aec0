import pytest
from mitmproxy.proxy import commands, events

from enforcer.proxy.door import Decision, How
from enforcer.proxy.layers import LINGER_MAX, Commands, Farewell, Guarded, Over, Page, Shut, _Answer, where
from tests.proxy.playbook import Play, Site, context, flow


class Broken(Guarded):
    """Fails at what it is told to."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start if self.flow.port == 1 else events.DataReceived):
            raise RuntimeError("10.20.0.7 www.secret.test")
        yield from ()


class Refusing(Guarded):
    """Refuses at the first octet."""

    decision = Decision(How.RESET)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            yield from self.refuse(self.decision, event.data)


def test_an_exception_closes_and_its_text_is_written_nowhere(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    made = flow()
    surroundings = context(made)
    played = Play(Broken(surroundings, site.door, made), surroundings).client(b"x")
    assert played.closed
    assert site.counted("other", "failed") == 1
    assert "error=RuntimeError at=test_layers.py:" in caplog.text
    assert "secret" not in caplog.text


def test_an_exception_at_the_start_closes_a_moment_later(site: Site) -> None:
    made = flow(port=1)
    surroundings = context(made)
    played = Play(Broken(surroundings, site.door, made), surroundings)
    assert not played.closed  # mitmproxy could not close it yet
    assert played.wake().closed


@pytest.mark.parametrize(("decision", "sent"), [(Decision(How.RESET), b""), (Decision(How.ALERT, b"alert"), b"alert")])
def test_a_refusal_says_its_word_and_closes(site: Site, decision: Decision, sent: bytes) -> None:
    made = flow()
    surroundings = context(made)
    layer = Refusing(surroundings, site.door, made)
    layer.decision = decision
    played = Play(layer, surroundings)
    made.reset = lambda: played.resets.append(1)
    played.client(b"x", b"more")
    assert (played.to_client, played.closed) == (sent, True)
    assert played.resets == ([1] if decision.how is How.RESET else [])


def test_last_words_are_sent_before_the_end_of_the_connection(site: Site) -> None:
    surroundings = context(flow())
    played = Play(Farewell(surroundings, b"page"), surroundings)
    sent = [type(each) for each in played.given]
    assert sent == [commands.SendData, commands.CloseTcpConnection, commands.RequestWakeup]
    played.server(b"late")
    assert not played.closed
    assert played.client(b"x" * LINGER_MAX).closed


def test_shut_and_over(site: Site) -> None:
    surroundings = context(flow())
    assert Play(Shut(surroundings), surroundings).client(b"x").closed
    surroundings = context(flow())
    assert Play(Over(surroundings), surroundings).client(b"x").given == []


def test_the_page_needs_a_client_that_speaks_tls(site: Site) -> None:
    surroundings = context(flow())
    played = Play(Page(surroundings, lambda _: b"page"), surroundings).client(b"no tls")
    assert played.closed
    assert played.to_client == b""


def test_the_page_inside_of_tls_is_in_the_language_that_is_asked_for(site: Site) -> None:
    for head, expected in (
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nAccept-Language: fr-CA, en;q=0.5\r\n\r\n", b"fr-CA, en;q=0.5"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"None"),
        (b"GET / HT", b"None"),
    ):
        surroundings = context(flow())
        played = Play(_Answer(surroundings, lambda languages: str(languages).encode()), surroundings).client(head)
        assert (played.to_client, played.closed) == (expected, True)


def test_an_error_without_a_trace_has_its_class() -> None:
    assert where(ValueError("secret")) == "error=ValueError"
