"""The Iceberg lakehouse: tables, rows, offsets in snapshots, replacement of an hour, maintenance."""
