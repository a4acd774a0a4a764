"""Benchmarks: what Stretto costs beside hand-written nats-py. `python -m benchmarks` prints a table; it never asserts a time."""
