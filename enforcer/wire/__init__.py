"""Bytes to values and back, pure: what arrives on a network, read with every bound checked.

DNS: `dns` reads a query or a response, whose names are `name`'s and whose numbers are named in `dnscodes`; `svcb` reads
what HTTPS records carry; `dnswrite` builds our queries and replies, `dnscut` makes a message smaller.

The first octets of a connection: `tls` reads a ClientHello, `quic` the one in Initial packets, `http` and `http2` the
head of a request, `mmtls` knows WeChat's own transport. They return None while more is needed.

A reader ends in a value or in `Malformed`, and lets nothing else out.
"""
