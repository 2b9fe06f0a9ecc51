"""Telemetry: log lines, the freshness gap, readiness, and the status page that each worker serves."""
