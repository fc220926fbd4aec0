"""Who is behind an address.

A source of identity (an inventory, a lease, an accounting feed) makes bindings; a registry of bindings answers
`owner(realm, address, at)` with a device or a group, and with how sure we are. Pure: time is an argument.
"""
