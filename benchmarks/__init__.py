"""Scripts that print every figure that the docs claim. Run one with ``python -m benchmarks.NAME``."""
