"""The Quix Streams shells: derivers, indexer, archiver. They read, call the pipeline, land, commit: no more.

Each is one process with one consumer group. Delivery is at-least-once, and every landing is idempotent by id. A store
that does not answer becomes backpressure: Quix drops the micro-batch, waits, and reads it again from the log.
"""
