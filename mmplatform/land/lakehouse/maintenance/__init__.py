"""Maintenance of the lakehouse: compaction, snapshot expiry, orphan files."""
