"""The record of an attempt, from the worker that blocked it to the line that proves it.

`block` is what a worker knows; `spool` carries it, with an exact count, across a killed process; the hub adds
the device and makes an `attempt`; `chain` links the lines; `log` is the truth on disk; `index` answers queries.
"""
