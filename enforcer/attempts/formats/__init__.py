"""A line of the log in the language of whoever reads it: pure, one small module a format.

A text that a device, a person or a peer chose is escaped for its format, on top of being made visible (`plain`):
no control character, line end or mark that turns text round gets out in any of them.
"""
