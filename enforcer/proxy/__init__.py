"""The proxy: mitmproxy as a gate that sees where a connection goes, and never what it says.

One connection, from its start to its end:

1. `addon` (or our own `mode`) gives each connection that mitmproxy accepts a `Flow` and the layer that suits the mode:
   `gate.Gate` where the destination is known, `explicit.ExplicitProxy` where the client names it.
2. The layer holds what the client sends first, and connects nowhere, until `decide.flow` can tell what it shows.
3. `door.Door` asks `policy.judge`, writes down a block, and says how the layer ends it: a TLS alert, a page, a reset,
   or silence; or that it may pass.
4. What may pass is carried by mitmproxy's own TCPLayer or UDPLayer, in which nothing is looked at or kept; plain HTTP
   by `relay.HttpRelay`, which shows the door each further request, as `streams.Http2Relay` does for HTTP/2 without TLS.
5. The door keeps the flows that it let through, and judges them again when the policy changes.

Nothing is decrypted: the addon that could is not loaded, but for the block page of banned names, if that is wanted.
"""
