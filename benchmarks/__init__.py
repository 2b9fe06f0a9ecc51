"""Scripts that print the figures of speed and freshness that the docs claim. Run one with ``python -m benchmarks.NAME``."""
