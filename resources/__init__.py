"""What Dagster opens: thin configurable resources whose ``open()`` gives the platform's own types."""
