"""Room 1, onto the log: the gateway that sources post to, and everything that speaks Kafka outside Quix Streams.

Bytes go to the blob store, events with pointers onto the replay log (claim check); a source is answered when both are
safe. The log is at-least-once: the same event may lie on it twice, and everything behind it is idempotent by id.
"""
