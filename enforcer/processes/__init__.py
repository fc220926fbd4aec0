"""What each process is made of. Here things are put together, sockets bound, and the clock is read; nowhere else.

`enforcer run` starts one process a part, `plan.py` says which; each is also a command of its own. Those that enforce
(dns, proxy, gate, gateway) are a `worker.Worker` with a duty; `hub.py` puts the hub together.
"""
