"""Check ``contract`` of each table that has one: rows of an hour, with the hour's profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check
from mmplatform.modalities import CALL, MODALITIES
from mmplatform.pipeline.process import contract_limits
from quality.checks.contract import check_contract
from quality.checks.result import CheckResult, RawMetadataValue
from quality.contracts import CONTRACTS
from quality.reports.profile import profile_rows, silence_share
from quality.rows import Row
from resources.readers.hours import HourReader, to_contract_rows
from resources.readers.subscriptions import TABLE_SUBSCRIPTIONS

CONTRACT: Final = "contract"


def contract_checks() -> list[dg.AssetChecksDefinition]:
    """One for each table with a contract; those of derived tables block a run."""
    return [_contract_check(table) for table in CONTRACTS]


def _contract_check(table: str) -> dg.AssetChecksDefinition:
    raw = {spec.raw_table for spec in MODALITIES.values()}

    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        rows = reader.rows(table, hour)
        quarantined_uids = reader.quarantined_uids(hour) if table in raw else set[str]()
        limits = contract_limits(resources.lakehouse.settings())
        result = check_contract(table, to_contract_rows(table, rows), limits, quarantined_uids)
        profile = profile_rows(table, rows) | _silence(table, rows, reader, hour)
        return CheckResult(result.passed, result.description, {**result.metadata, **profile})

    return hourly_check(
        table,
        CONTRACT,
        check,
        blocking=table in TABLE_SUBSCRIPTIONS and table not in raw,
        description=(
            "Every row of the hour keeps the table's contract. Events that the gate has quarantined are counted, and "
            "are no breach. The metadata has the profile of the hour."
        ),
    )


def _silence(table: str, rows: Sequence[Row], reader: HourReader, hour: datetime) -> dict[str, RawMetadataValue]:
    if table != CALL.derived_table:
        return {}
    share = silence_share(rows, reader.rows(CALL.raw_table, hour, ["kind", "duration_s", "channels"]))
    return {} if share is None else {"share_of_silence": share}
