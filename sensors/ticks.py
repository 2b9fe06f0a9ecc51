"""Common to the ticks of all sensors: the interval, and the skip for an unreadable store."""

from __future__ import annotations

from typing import Final

import dagster as dg

from mmplatform.errors import Misconfigured, PlatformError

INTERVAL_S: Final = 30
"""Interval of the sensors that distinguish quiet from broken: a record that waits for a minute is red within two."""

SLOW_INTERVAL_S: Final = 60
"""Interval of the others: a tick costs the daemon and the code server 0.3 s of a processor, also without news."""


def skip_unreadable(reason: str, error: PlatformError) -> dg.SensorResult:
    """Skips the tick and leaves the cursor as it is: an unreadable store never passes for an empty one.

    Raises:
        Misconfigured: the error itself is one, and waiting does not fix it: the tick fails, where an operator sees it.
    """
    if isinstance(error, Misconfigured):
        raise error
    return dg.SensorResult(skip_reason=f"{reason}: {type(error).__name__}: {error}")
