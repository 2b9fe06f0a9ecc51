"""Scripts that print the figures of speed and freshness that the docs claim: ``python -m benchmarks.NAME``."""
