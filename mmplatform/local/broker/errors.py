"""Errors below the protocol; the handlers answer them with KAFKA_STORAGE_ERROR."""

from __future__ import annotations


class StorageFailedError(Exception):
    """The disk refused a write: it is not stored, and everything acknowledged before is unchanged."""
