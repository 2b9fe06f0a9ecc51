"""Check ``complete_up_to`` of each asset that the stream fills: everything acknowledged is in it, up to which time."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, live_check
from quality.checks.complete_up_to import check_complete_up_to, incompleteness
from quality.checks.result import CheckResult
from quality.slas import ASSET_WINDOWS, landing_windows
from resources.readers.stream_readings import read_streams

COMPLETE_UP_TO: Final = "complete_up_to"


def complete_up_to_checks() -> list[dg.AssetChecksDefinition]:
    """One for each asset with a window."""
    return [_check(asset) for asset in ASSET_WINDOWS]


def _check(asset: str) -> dg.AssetChecksDefinition:
    def check(resources: CheckResources) -> CheckResult:
        reading = read_streams(resources.stack, [asset])[asset]
        windows = landing_windows(resources.stack.settings().freshness_windows)
        up_to = reading.read_at - timedelta(seconds=reading.waiting_s)
        result = check_complete_up_to(up_to, reading.read_at, windows[asset], incompleteness(reading))
        return CheckResult(result.passed and not reading.down, result.description, result.metadata)

    return live_check(
        asset,
        COMPLETE_UP_TO,
        check,
        requires=("stack",),
        description=(
            "Everything that the gateway acknowledged is here, but for at most the window of the freshness policy. It "
            "reads the log, so a backfill of an old hour does not satisfy it, and a quiet table does not fail it. The "
            "sensor `complete_up_to` evaluates it."
        ),
    )
