"""Bytes to verdict, pure.

`dns` decides on a query and on its answer, with `cache` and `local`; `flow` on the first octets of a connection.
"""
