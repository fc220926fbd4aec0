"""DNS: the sockets around `decide.dns`.

A packet is read by `fast`, which knows the answers given before; what it does not know goes to `handler`, which
asks `decide`, the cache and, last, an `upstream`. `listeners` serves TCP and TLS, `doh` HTTPS,
behind `doors`, which read what comes before DNS; `credentials` and `admission` say who may ask there. Every way ends
in the same decision.
"""
