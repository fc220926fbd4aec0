"""What benchmarks of connections share: names, addresses, the ban, the load's program, and HAProxy with that ban."""

import ssl
from contextlib import suppress
from pathlib import Path

NAMES = {"passed": "www.passed.example", "banned": "chat.banned.example"}
SERVER, CLIENTS = "198.51.100.10", "192.0.2.8"
SOURCE = Path(__file__).with_name("connections.c")

LIST = """\
service: chat
ban: bench
title: {en: Chat, fr: Clavardage}
vendor: Example
version: 2026.11.1
sources: {B: bench}
rules:
  - {suffix: banned.example, part: all, evidence: app, confidence: single, source: B, seen: 2026}
"""


def haproxy(listen: str) -> str:
    """HAProxy's configuration to refuse what is banned by its name, on one thread. listen: ADDRESS:PORT."""
    return f"""\
global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend tls
  bind {listen}
  tcp-request inspect-delay 5s
  tcp-request content reject if {{ req.ssl_hello_type 1 }} {{ req.ssl_sni -m end -i .banned.example }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  default_backend server
backend server
  server server {SERVER}:443
"""


def client_hello(name: str) -> bytes:
    """What OpenSSL's client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()
