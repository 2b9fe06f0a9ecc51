"""Checks: pure verdicts over rows and figures that were read elsewhere. A file is named as its Dagster check."""
