import logging
from collections.abc import Iterator

import pytest

from enforcer.proxy.quiet import LOGGERS, silence


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What is silenced here speaks afterwards."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.level, each.propagate, each.handlers) for each in loggers]
    yield
    for each, (level, propagate, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.handlers = propagate, handlers


def test_no_name_and_no_octet_gets_out(caplog: pytest.LogCaptureFixture) -> None:
    silence()
    logger = logging.getLogger("mitmproxy.proxy.server")
    with caplog.at_level(logging.DEBUG, logger="enforcer"):
        logger.info("10.20.0.7:5000: client connect")
        logger.warning("Cannot parse ClientHello: 160301")
        try:
            raise RuntimeError("www.secret.test")
        except RuntimeError:
            logger.exception("mitmproxy has crashed! %s", "www.secret.test")
        logging.getLogger("asyncio").error("socket.accept() out of system resource 10.20.0.7")
    assert [record.getMessage().partition(" source")[0] for record in caplog.records] == ["mitmproxy event=error"] * 2
    assert "error=RuntimeError at=test_quiet.py:" in caplog.text
    for secret in ("10.20.0.7", "secret", "160301"):
        assert secret not in caplog.text
