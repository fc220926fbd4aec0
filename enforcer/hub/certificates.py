"""When the listeners' certificates end, so that somebody is told before they do."""

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509

from enforcer.config.model import Config
from enforcer.config.resolver import Listener


def expiries(listeners: Iterable[Listener]) -> dict[str, float]:
    """By listener, seconds since 1970 at which the first certificate of its chain to end does; 0: it cannot be read."""
    return {each.name: _expiry(each.certificate) for each in listeners if each.certificate is not None}


def all_expiries(config: Config) -> dict[str, float]:
    """Those of the listeners, and the console's."""
    found = expiries(config.resolver.listeners)
    console = config.console
    return (
        found if console is None or console.certificate is None else {**found, "console": _expiry(console.certificate)}
    )


def _expiry(path: Path) -> float:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return 0.0
    return min(certificate.not_valid_after_utc.timestamp() for certificate in chain)
