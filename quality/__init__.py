"""Quality: the contracts of all tables, the gate that applies them, the freshness promises, and pure checks.

Rows go in, check results come out. All modules but ``dagster_policies`` lie below the platform and know neither it nor
Dagster.
"""
