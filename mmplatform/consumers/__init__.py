"""Quix Streams shells of the workers: derivers, indexer, archiver. They consume, call the pipeline, land and commit.

Each is one process with one consumer group. Delivery is at-least-once, and each write is idempotent by id. A store that
does not answer causes backpressure: Quix drops the micro-batch, waits, and consumes it again from the log.
"""
