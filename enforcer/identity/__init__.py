"""Where bindings come from: each module reads one source and returns what the registry of `devices` looks up.

inventory.py reads the file in which an organisation lists its devices and their addresses.
"""
