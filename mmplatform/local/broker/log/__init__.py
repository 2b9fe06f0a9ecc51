"""The storage: partitions as segment files that keep RecordBatch v2 bytes verbatim, flushed in groups."""
