"""Network-level enforcement of an application ban, with a record of every attempt.

How a request passes through: bytes are read by `wire`, turned into a destination by `decide`, judged by
`policy`; what is blocked leaves the worker through `attempts.spool`; the hub joins the device behind it
(`devices`), gives it a number, a hash and a line in the day log, and counts it.
"""

__version__ = "0.1.0"
