"""Quality: the contracts that every table keeps, the gate that applies them, and the freshness promised for each.

All but ``freshness`` lie below the platform and know nothing of it, nor of Dagster: rows go in, verdicts come out.
"""
