"""Ingest over HTTP: endpoints, the intake that writes events, idempotency, backpressure.

Bytes go to the blob store, events with pointers onto the replay log (claim check); a source is answered when both are
durable. The log is at-least-once: it may hold an event twice, and every consumer is idempotent by id.
"""
