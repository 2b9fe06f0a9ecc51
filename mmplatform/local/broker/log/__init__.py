"""The storage: partitions as segment files with verbatim RecordBatch v2 bytes, flushed in groups."""
