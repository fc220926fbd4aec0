"""The process that remembers: it reads what workers spooled, finds the device, and writes the log.

`recorder` is the way from the spool to the log, `resume` where a killed one stopped; `orders` tells the workers
which policy (`compiler`) is in force; `control` is how commands ask; `metrics` is what Prometheus reads; `hub` runs
them, alone with its data thanks to `lock`.
"""
