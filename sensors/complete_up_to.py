"""The sensor ``complete_up_to``: a quiet table is complete, which Dagster would otherwise take for stale."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from assets.checks.complete_up_to import COMPLETE_UP_TO
from assets.checks.factory import to_evaluation
from mmplatform.errors import Misconfigured, PlatformError
from mmplatform.events import utc_now
from quality.slas import ASSET_WINDOWS, landing_windows
from resources.readers.stream_readings import read_streams
from resources.stack import StackResource
from sensors.complete_up_to_diff import CompletenessReport, CompleteUpToCursor, diff_completeness
from sensors.ticks import INTERVAL_S


@dg.sensor(
    name=COMPLETE_UP_TO,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads from the log what waits in front of each asset, and from the stack which services are ready. Where "
        "nothing waits and all are ready, the asset is complete although nothing landed: it reports a materialization "
        "without a partition, which Dagster counts for the freshness policy. It evaluates the check `complete_up_to`, "
        "which an old backfill does not satisfy. A stack that cannot be read reports no materialization."
    ),
)
def complete_up_to_sensor(context: dg.SensorEvaluationContext, stack: StackResource) -> dg.SensorResult:
    """Report completeness twice in each window, when it ends, and a changed outcome at once."""
    cursor = CompleteUpToCursor.parse(context.cursor)
    unreadable = ""
    try:
        readings = read_streams(stack, ASSET_WINDOWS)
    except Misconfigured:
        raise
    except PlatformError as error:
        readings, unreadable = {}, f"cannot be read: {type(error).__name__}: {error}"
    windows = landing_windows(stack.settings().freshness_windows)
    reports, after = diff_completeness(readings, cursor, utc_now(), windows, unreadable)
    if not reports:
        reason = unreadable or "every asset was reported within half of its window"
        return dg.SensorResult(skip_reason=reason, cursor=after.to_json())
    return dg.SensorResult(
        asset_events=[event for report in reports for event in _events(report)], cursor=after.to_json()
    )


def _events(report: CompletenessReport) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    if report.complete:
        yield dg.AssetMaterialization(
            report.asset,
            description=f"complete up to {report.up_to:%Y-%m-%d %H:%M:%S} UTC: nothing waited, all services were ready",
            metadata={
                "complete_up_to": dg.MetadataValue.timestamp(report.up_to),
                "lag": dg.MetadataValue.int(0),
                "gap_s": dg.MetadataValue.float(0.0),
            },
        )
    yield to_evaluation(report.asset, COMPLETE_UP_TO, report.result)
