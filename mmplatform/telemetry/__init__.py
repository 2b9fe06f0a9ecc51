"""Telemetry: log lines, freshness gap, readiness, and the status page of each worker."""
