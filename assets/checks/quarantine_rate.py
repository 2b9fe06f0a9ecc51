"""Check ``quarantine_rate``: the number of quarantined events of the last hour."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, live_check
from mmplatform.events import utc_now
from mmplatform.modalities import QUARANTINE_TABLE
from quality.checks.quarantine_rate import check_quarantine_rate
from quality.checks.result import CheckResult
from resources.readers.hours import open_hour_reader

QUARANTINE_RATE: Final = "quarantine_rate"
QUARANTINE_COLUMNS: Final = ("contract", "reasons", "topic_partition", "log_offset")
RATE_WINDOW: Final = timedelta(hours=1)


def quarantine_rate_check() -> dg.AssetChecksDefinition:
    """The check of ``quarantine``."""
    return live_check(
        QUARANTINE_TABLE,
        QUARANTINE_RATE,
        _check,
        requires=("lakehouse",),
        description="Few events were quarantined in the last hour. The sensor `quarantine` reports when that changes.",
    )


def _check(resources: CheckResources) -> CheckResult:
    since = utc_now() - RATE_WINDOW
    reader = open_hour_reader(resources.lakehouse)
    return check_quarantine_rate(reader.rows_since(QUARANTINE_TABLE, "quarantined_at", since, QUARANTINE_COLUMNS))
