"""The error tree. Every shell (gateway, Quix callbacks, CLI, Dagster) maps these four branches once.

PlatformError
├── Rejected        the input can never be processed as it is       → 4xx, dead letter, quarantine
│   ├── TooLarge        over a stated size limit                    → 413
│   ├── UnsupportedMedia  a media type without a decoder            → 415
│   ├── Conflict        the same id with other content              → 409
│   └── UnknownRelease  a kind or version of a later release        → dead letter, redriven after the upgrade
├── Busy            the platform asks the source to slow down       → 429 + Retry-After, backpressure
├── Unavailable     a store or broker does not answer; retry later  → 503, retry with backoff
└── Permanent       retrying the same thing cannot help             → stop, tell the operator
    └── Misconfigured   a setting, model or address is wrong        → message names the setting and the fix

Messages say what went wrong, where, and what to do, and never quote a payload: ids and sizes only.
"""

from collections.abc import Mapping


class PlatformError(Exception):
    """Root of all errors that mmplatform raises on purpose."""


class Rejected(PlatformError):
    """The input can never be processed as it is."""

    status = 422


class TooLarge(Rejected):
    """The input is over a stated size limit."""

    status = 413


class UnsupportedMedia(Rejected):
    """There is no decoder for this media type."""

    status = 415


class Conflict(Rejected):
    """The same id arrived before with other content."""

    status = 409


class UnknownRelease(Rejected):
    """The record has a kind or a major version that this release does not know."""


class Busy(PlatformError):
    """The platform is overloaded: retry after ``retry_after`` seconds. ``hint`` holds the backlog in numbers."""

    status = 429

    def __init__(self, message: str, *, retry_after: float, hint: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.hint = dict(hint or {})


class Unavailable(PlatformError):
    """A store, broker or server does not answer; the same call may succeed later."""

    status = 503


class Permanent(PlatformError):
    """Retrying the same thing cannot help; an operator must act."""

    status = 500


class Misconfigured(Permanent):
    """A setting, a model directory or an address is wrong; the message names it and the fix."""
