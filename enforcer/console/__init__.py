"""The console: pages and an API for the people who review what was blocked.

A request passes `guard` (host, security headers, size), then `access` says who asks and what their roles allow, then
a view in `pages/` or `api` turns its query string into a `Filter` (`asked`), asks the index in a thread, and renders
a template in the reader's language (`texts`). The console holds no key and no raw identifier, and writes nothing: a
reviewer's mark, a sign-in, an export is told to the hub (`desk`), which puts it into the chain.
"""
