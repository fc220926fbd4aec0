"""Bytes to verdict, pure: what a query asks, what an answer gives away, how long it may be kept."""
