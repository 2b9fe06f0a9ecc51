"""HTTP plumbing that ingest and retrieve share: problem documents, bodies, and the budget of bytes in flight."""
