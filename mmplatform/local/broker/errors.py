"""What goes wrong below the protocol; the handlers answer it with KAFKA_STORAGE_ERROR."""

from __future__ import annotations


class StorageFailedError(Exception):
    """The disk refused: what was asked for is not kept, and everything acknowledged before is as it was."""
