"""The kernel's part of enforcing connections, and what tells the kernel.

A packet of a client meets the rules of `ruleset`, which `nft` has applied: DNS and HTTP are redirected to us, banned
addresses and MMTLS are rejected and counted (`drops` makes attempts of the counts), and the first octets of every
other connection are queued for the gate. `nfqueue` reads the queue, `packets` the packet, `flows` puts what came in
pieces together, `first` decides, and the verdict goes back as a mark (`marks`) that the kernel keeps on the
connection: nothing of an allowed connection is seen again until the policy changes.
"""
