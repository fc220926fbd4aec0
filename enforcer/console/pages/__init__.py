"""One file a page: what it shows, as plain values for its template. Each runs in a thread, for one request."""
