"""Bytes to values and back, pure: what arrives on a network, read with every bound checked.

DNS: `dns` reads a query or a response, whose names are `name`'s and whose numbers are named in `dnscodes`; `svcb` reads
what HTTPS records carry; `dnswrite` builds our queries and replies, `dnscut` makes a message smaller.

A reader ends in a value or in `Malformed`, and lets nothing else out.
"""
