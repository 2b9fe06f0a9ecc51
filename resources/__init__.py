"""Dagster resources: thin and configurable; their ``open()`` returns the platform's own types."""
