"""mitmproxy's own log, reduced to what may be written down: where in its code something went wrong, and of what class.

Its messages name clients and servers at every level, and hold octets of connections; none of that gets out.
"""

import logging

from enforcer.proxy.layers import where

LOGGERS = ("mitmproxy", "asyncio")

_log = logging.getLogger(__name__)


class Quiet(logging.Handler):
    """Writes a record's place, and its error's class; never its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on what may be known."""
        error = record.exc_info[1] if record.exc_info else None
        _log.error(
            "mitmproxy event=%s source=%s:%d%s",
            record.levelname.lower(),
            record.name,
            record.lineno,
            "" if error is None else f" {where(error)}",
        )


def silence() -> None:
    """From now on mitmproxy logs errors alone, and those without a name or an octet in them."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.handlers = [Quiet()]
