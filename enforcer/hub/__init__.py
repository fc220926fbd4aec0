"""The process that remembers: it reads what workers spooled, finds the device, and writes the log.

A blocked attempt comes in a segment of the spool (`shelf`) as a counted row (`rows`), and becomes lines of the log
(`planner`) in the rhythm of `recorder`; `resume` finds where a killed hub stopped, `indexer` follows the log. What a
start or a reload reads (`loading`, `compiler`) is put in force (`force`) by the orders that workers follow (`orders`).
`metrics` and `figures` tell how all of it is. `hub` runs it, alone with its data thanks to `lock`; all other files are
parts, or belong to one.
"""
