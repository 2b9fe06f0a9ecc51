"""Checks of windows of the stream: expectations on the figures of an hour, from ``volume`` to ``drift``.

One operation for each table evaluates all of its checks, so that an hour and its baseline are read once.
"""
# No deferred annotations here: Dagster reads those of a check's configuration as they are.

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, cast

import dagster as dg

from assets.checks.factory import EMPTY_TABLE, CheckResources, run_check
from assets.checks.hours import HourConfig, check_hours, settled_before
from mmplatform.errors import PlatformError
from quality.checks.drift import check_drift
from quality.checks.language_mix import check_language_mix
from quality.checks.result import CheckResult
from quality.checks.volume import check_volume
from quality.checks.window_limit import check_limit
from quality.windows.baseline import Window
from quality.windows.figures import WINDOW_COLUMNS
from quality.windows.limits import LIMITED_FIGURES, check_limits
from resources.readers.hours import open_hour_reader
from resources.readers.windows import has_language, read_window

VOLUME: Final = "volume"
LANGUAGE_MIX: Final = "language_mix"
DRIFT: Final = "drift"

_DESCRIPTIONS: Final = {
    VOLUME: "The hour has about as many rows as the same hour of earlier weeks or days. No rows at all are an error.",
    "null_rate": "Few rows of the hour lack the words or the value that the table is for.",
    "duplicate_rate": "Few rows of the hour repeat another: a source or a model that loops repeats most of them.",
    "redacted_share": "Redaction is neither off nor hides nearly every text of the hour.",
    "confidence": "The median confidence of the models of the hour is above that of guesses.",
    LANGUAGE_MIX: "The languages of the hour have about the shares that they have in earlier weeks or days.",
    DRIFT: "The shares of the hour are about those of the same hour of earlier weeks or days.",
}


def window_checks() -> list[dg.AssetChecksDefinition]:
    """One operation for each raw table and each derived table of a modality."""
    return [_window_checks(table) for table in WINDOW_COLUMNS]


def check_names(table: str) -> tuple[str, ...]:
    """The names of a table's checks of windows."""
    language = (LANGUAGE_MIX,) if has_language(table) else ()
    return (VOLUME, *LIMITED_FIGURES[table], *language, DRIFT)


def _window_checks(table: str) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{table}_windows",
        specs=[dg.AssetCheckSpec(name, asset=table, description=_DESCRIPTIONS[name]) for name in check_names(table)],
        can_subset=True,
        required_resource_keys={"lakehouse"},
    )
    def evaluate(context: dg.AssetCheckExecutionContext, config: HourConfig) -> Iterator[dg.AssetCheckResult]:
        resources = cast("CheckResources", context.resources)
        results = _results(table, config, context.run, resources)
        for key in context.op_execution_context.selected_asset_check_keys:
            yield run_check(lambda name=key.name: results(name), key)  # type: ignore[misc]

    return evaluate


def _results(
    table: str, config: HourConfig, run: dg.DagsterRun, resources: CheckResources
) -> Callable[[str], CheckResult]:
    """The results by name, of windows that are read once; a failed read fails each check."""
    try:
        reader = open_hour_reader(resources.lakehouse)
        hours = config.resolve(reader, table, run)
        windows = {hour: read_window(reader, table, hour, settled_before()) for hour in hours}
    except PlatformError as error:
        failure = error
        return lambda _name: _raise(failure)
    return lambda name: _joined(table, name, windows)


def _raise(error: PlatformError) -> CheckResult:
    raise error


def _joined(table: str, name: str, windows: Mapping[datetime, tuple[Window, Sequence[Window]]]) -> CheckResult:
    if not windows:
        return EMPTY_TABLE
    return check_hours(windows, lambda hour: _check(table, name, *windows[hour]))


def _check(table: str, name: str, window: Window, baseline: Sequence[Window]) -> CheckResult:
    if name == VOLUME:
        return check_volume(window, baseline)
    if name == LANGUAGE_MIX:
        return check_language_mix(window, baseline)
    if name == DRIFT:
        return check_drift(LIMITED_FIGURES[table], window, baseline)
    return check_limit(name, check_limits(table, window.figures)[name], window, baseline)
