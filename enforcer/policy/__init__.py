"""Who may reach what.

How a ban becomes a verdict: `lists` reads what people wrote (`document` its YAML, `triggers`, `names` and `patterns`
each line's normal form, `conflicts` what lines say against each other) and `thirdparty` what others wrote, by the
million. `compiled` puts all of it into one file, the names into a `table` in it. `judge` maps that file and answers,
with `explain` in words. `protections` no third-party list can take away. `selftest` and `diff` look at a policy before
it is put in force.
"""
