"""Services of the local stack: processes, ports and readiness probes."""
