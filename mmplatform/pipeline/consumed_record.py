"""A record of the log as a consumer got it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mmplatform.events import Position


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """A record of the log.

    Attributes:
        taken_at: when it was consumed.
        shed_reasons: why nothing is derived from it.
        logged_at: when the broker appended it.
    """

    position: Position
    value: bytes | None
    taken_at: datetime
    shed_reasons: tuple[str, ...] = ()
    headers: Mapping[str, bytes] = field(default_factory=dict)
    logged_at: datetime | None = None
