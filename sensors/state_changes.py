"""The tick of a sensor that reports a check once when it fails and once when it passes again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from assets.checks.factory import to_evaluation
from mmplatform.errors import PlatformError
from quality.checks.result import CheckResult, changed_results
from sensors.cursors import StateCursor
from sensors.ticks import skip_unreadable


@dataclass(frozen=True, slots=True)
class StateChange:
    """A modality whose check has another outcome than the last reported one; ``first``: none was reported yet."""

    modality: str
    result: CheckResult
    first: bool


def report_state_changes(
    context: dg.SensorEvaluationContext,
    check: str,
    *,
    tables: Mapping[str, str],
    cursor_type: type[StateCursor],
    read: Callable[[Mapping[str, bool]], Mapping[str, CheckResult]],
    react: Callable[[Sequence[StateChange]], Sequence[dg.RunRequest]],
    unreadable: str,
) -> dg.SensorResult:
    """Evaluates the check of changed modalities; the skip reason says why there is nothing to report.

    Args:
        context: the tick.
        check: the name of the check.
        tables: the asset of the check, by modality.
        cursor_type: the type of the cursor.
        read: the results of all modalities; gets the last reported outcomes.
        react: called with the changes; returns the runs to start.
        unreadable: begins the skip reason when a store cannot be read.
    """
    before = cursor_type.parse(context.cursor).passed
    try:
        results = read(before)
    except PlatformError as error:
        return skip_unreadable(unreadable, error)
    changed, passed = changed_results(results, before)
    if not changed:
        outcomes = "; ".join(f"{modality}: {result.description}" for modality, result in results.items())
        return dg.SensorResult(skip_reason=f"no change: {outcomes}")
    changes = [StateChange(modality, result, modality not in before) for modality, result in changed.items()]
    return dg.SensorResult(
        asset_events=[to_evaluation(tables[change.modality], check, change.result) for change in changes],
        run_requests=list(react(changes)),
        cursor=cursor_type(passed=passed).to_json(),
    )
