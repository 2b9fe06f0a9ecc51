"""The sensor ``freshness_breach``: reports when a modality becomes stale and when it is fresh again, once each."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from assets.checks.freshness_breach import FRESHNESS_BREACH
from mmplatform.modalities import MODALITIES
from quality.checks.freshness_breach import check_freshness_breach
from quality.checks.result import CheckResult
from quality.slas import MODALITY_SLAS
from resources.readers.freshness_readings import read_freshness
from resources.stack import StackResource
from sensors.cursors import StateCursor
from sensors.diagnose_freshness import diagnose_freshness
from sensors.state_changes import StateChange, report_state_changes
from sensors.ticks import INTERVAL_S


class FreshnessBreachCursor(StateCursor):
    """The last reported outcome of each modality."""

    passed: dict[str, bool] = Field(default_factory=dict, alias="fresh")


@dg.sensor(
    name=FRESHNESS_BREACH,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    # By name: given an object, Dagster replaces the sensor by a copy with an argument of its own and then warns of it.
    job_name=diagnose_freshness.name,
    description=(
        "Reads the freshness gap from the index worker and the backlogs from the log. When a modality's gap is over "
        "its budget, or its watermark has stalled, its check fails and `diagnose_freshness` is started, once for each "
        "breach; when the breach ends the check passes. A quiet time is not stale."
    ),
)
def freshness_breach_sensor(context: dg.SensorEvaluationContext, stack: StackResource) -> dg.SensorResult:
    """Report changed outcomes and request a diagnosis of each breach."""
    return report_state_changes(
        context,
        FRESHNESS_BREACH,
        tables={str(modality): spec.derived_table for modality, spec in MODALITIES.items()},
        cursor_type=FreshnessBreachCursor,
        read=lambda _: _read(stack),
        react=_request_diagnoses,
        unreadable="freshness cannot be measured",
    )


def _read(stack: StackResource) -> dict[str, CheckResult]:
    readings = read_freshness(stack)
    return {
        modality: check_freshness_breach(reading, MODALITY_SLAS[modality]) for modality, reading in readings.items()
    }


def _request_diagnoses(changes: Sequence[StateChange]) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(
            run_config={"ops": {"diagnose": {"config": {"modality": change.modality}}}},
            tags={"modality": change.modality},
        )
        for change in changes
        if not change.result.passed
    ]
