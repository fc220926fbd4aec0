"""enforcer.yaml, from its text to frozen types.

`document` reads YAML and remembers the line of every key. `model` says which keys there are, what they mean and what
they default to; `fields` and `values` how single values are written; `contradictions` what must hold between them.
`load` puts these together and names every mistake at once, in the words of `words`; `describe` tells what is in force.
"""
