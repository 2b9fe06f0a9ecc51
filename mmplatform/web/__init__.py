"""HTTP plumbing that ingest and retrieve share: problem documents, request bodies, and the in-flight body budget."""
