"""Factories of asset checks: the Dagster shell around a function from stores to a :class:`CheckResult`.

A read that failed fails the check, and the description names the unreachable store; it never passes for no rows.
"""
# No deferred annotations here: Dagster reads those of a check's configuration as they are.

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, cast

import dagster as dg
from pydantic import Field

from assets.checks.hours import HourConfig, check_hours, current_hour
from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from quality.checks.result import CheckResult, Markdown, MetadataTable, RawMetadataValue
from resources.blobs import BlobsResource
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.readers.hours import HourReader, open_hour_reader
from resources.stack import StackResource

EMPTY_TABLE: Final = CheckResult(passed=True, description="the table is empty", metadata={"rows": 0})


class CheckResources(Protocol):
    """Dagster's resources by their keys in ``definitions.py``; a check may use those that it requires."""

    @property
    def lakehouse(self) -> LakehouseResource:
        """The Iceberg tables."""

    @property
    def stack(self) -> StackResource:
        """The replay log, the index and the index worker."""

    @property
    def blobs(self) -> BlobsResource:
        """The blob store."""


class RecentConfig(dg.Config):
    """Length of the recent past."""

    minutes: float = Field(default=15.0, gt=0, le=1440, description="Rows that were stamped within so many minutes.")


def hourly_check(
    asset: str,
    name: str,
    check: Callable[[HourReader, datetime, CheckResources], CheckResult],
    *,
    description: str,
    requires: Collection[str] = (),
    hours_of: str | None = None,
    empty: CheckResult | None = EMPTY_TABLE,
    blocking: bool = False,
) -> dg.AssetChecksDefinition:
    """A check of one hour or several; see :class:`assets.checks.hours.HourConfig` for which.

    Args:
        asset: the key of the asset.
        name: the name of the check.
        check: called for each hour.
        description: shown in the UI.
        requires: keys of resources besides ``lakehouse``.
        hours_of: the table whose newest hour is the default; ``None``: the asset's own.
        empty: the result when that table is empty; ``None``: the current hour is checked then.
        blocking: a failure ends a run before the assets downstream.
    """

    @dg.asset_check(
        asset=asset,
        name=name,
        description=description,
        blocking=blocking,
        required_resource_keys={"lakehouse", *requires},
    )
    def asset_check(context: dg.AssetCheckExecutionContext, config: HourConfig) -> dg.AssetCheckResult:
        resources = _resources(context)

        def run() -> CheckResult:
            reader = open_hour_reader(resources.lakehouse)
            hours = config.resolve(reader, hours_of or asset, context.run)
            if not hours and empty is not None:
                return empty
            return check_hours(hours or [current_hour()], lambda hour: check(reader, hour, resources))

        return run_check(run)

    return asset_check


def recent_check(
    asset: str,
    name: str,
    check: Callable[[datetime, CheckResources], CheckResult],
    *,
    description: str,
    requires: Collection[str],
) -> dg.AssetChecksDefinition:
    """A check of the recent past: ``check`` gets its start."""

    @dg.asset_check(asset=asset, name=name, description=description, required_resource_keys=set(requires))
    def asset_check(context: dg.AssetCheckExecutionContext, config: RecentConfig) -> dg.AssetCheckResult:
        return run_check(lambda: check(utc_now() - timedelta(minutes=config.minutes), _resources(context)))

    return asset_check


def live_check(
    asset: str,
    name: str,
    check: Callable[[CheckResources], CheckResult],
    *,
    description: str,
    requires: Collection[str],
) -> dg.AssetChecksDefinition:
    """A check of the present; a sensor reports the same one when its outcome changes."""

    @dg.asset_check(asset=asset, name=name, description=description, required_resource_keys=set(requires))
    def asset_check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return run_check(lambda: check(_resources(context)))

    return asset_check


def run_check(check: Callable[[], CheckResult], key: dg.AssetCheckKey | None = None) -> dg.AssetCheckResult:
    """Runs a check and converts its result; an unreachable store is a failed check that names it.

    ``key`` names the check where an operation has several.
    """
    with as_dagster_failure():
        try:
            result = check()
        except PlatformError as error:
            description = f"cannot be checked: {type(error).__name__}: {error}"
            result = CheckResult(passed=False, description=description, metadata={"unreachable": str(error)})
    return dg.AssetCheckResult(
        asset_key=key.asset_key if key else None,
        check_name=key.name if key else None,
        passed=result.passed,
        description=result.description,
        metadata=to_dagster_metadata(result),
        severity=dg.AssetCheckSeverity(result.severity),
    )


def to_evaluation(table: str, check: str, result: CheckResult) -> dg.AssetCheckEvaluation:
    """Converts a result that a sensor reports, without a run."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(table),
        check_name=check,
        passed=result.passed,
        description=result.description,
        metadata=to_dagster_metadata(result),
        severity=dg.AssetCheckSeverity(result.severity),
    )


def to_dagster_metadata(result: CheckResult) -> dict[str, dg.MetadataValue[Any]]:
    """Wraps the metadata of a result in Dagster's types."""
    return {name: _metadata_value(value) for name, value in result.metadata.items()}


def _metadata_value(value: RawMetadataValue) -> dg.MetadataValue[Any]:
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, Markdown):
        return dg.MetadataValue.md(value.text)
    if isinstance(value, MetadataTable):
        return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in value.rows])
    return dg.MetadataValue.text(value) if isinstance(value, str) else dg.MetadataValue.json(value)


def _resources(context: dg.AssetCheckExecutionContext) -> CheckResources:
    return cast("CheckResources", context.resources)
