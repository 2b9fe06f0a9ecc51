"""Structured log lines on standard error: one JSON object each, without any record's content."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Set up structlog for a broker process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
