"""Whom the configuration wants asked."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from enforcer.config.model import Config
from enforcer.config.values import Upstream

RESOLV_CONF = Path("/etc/resolv.conf")


def upstreams_of(config: Config) -> tuple[Upstream, ...]:
    """The upstreams: as configured, else this machine's own name servers but for ourselves."""
    upstreams = config.resolver.upstreams
    if not upstreams:
        ours = [endpoint for listener in config.resolver.listeners for _, endpoint in listener.endpoints]
        upstreams = tuple(
            upstream
            for upstream in map(Upstream, nameservers(_text(RESOLV_CONF)))
            if not any(upstream.reaches(endpoint) for endpoint in ours)
        )
    return upstreams


def nameservers(resolv_conf: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The name servers of a resolv.conf(5), in order; what is none is passed over."""
    found = []
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", host, *_]:
                with suppress(ValueError):
                    found.append(ip_address(host.partition("%")[0]))
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
