"""Checks: pure functions from rows and figures to a :class:`quality.checks.result.CheckResult`.

A file is named as its Dagster check. The caller reads; a failed read raises there and never arrives here as no rows.
"""
