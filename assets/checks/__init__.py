"""Asset checks: thin Dagster shells over :mod:`quality.checks`."""
