"""Checks on what the running stack measures of itself; the sensors report the same ones when something changes.

They can also be started from the UI, beside those of :mod:`assets.checks.hour_checks`, which look at the tables.
"""
# No deferred annotations here: Dagster looks at those of a check's arguments as they are.

from datetime import timedelta
from typing import Final

import dagster as dg

from assets.checks.hour_checks import shown, told
from mmplatform.events import Modality, utc_now
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE, ModalitySpec
from quality.checks.freshness_breach import stale
from quality.checks.quarantine_rate import crowded
from quality.checks.verdict import Verdict
from quality.slas import MODALITY_SLAS
from resources.lakehouse import LakehouseResource
from resources.readers.freshness_readings import readings
from resources.readers.hours import open_hours
from resources.stack import StackResource

BREACH: Final = "freshness_breach"
CROWDED: Final = "quarantine_rate"
COLUMNS: Final = ("contract", "reasons", "topic_partition", "log_offset")
AN_HOUR: Final = timedelta(hours=1)


def live_checks() -> list[dg.AssetChecksDefinition]:
    """``freshness_breach`` of each modality's derived table, and ``quarantine_rate``."""
    return [*(_breach(modality, spec) for modality, spec in MODALITIES.items()), _crowded()]


def evaluation(table: str, check: str, verdict: Verdict) -> dg.AssetCheckEvaluation:
    """A verdict as a sensor reports it, without a run."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(table),
        check_name=check,
        passed=verdict.holds,
        description=verdict.words,
        metadata=shown(verdict),
    )


def _breach(modality: Modality, spec: ModalitySpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=spec.derived_table,
        name=BREACH,
        description=(
            f"The gap of {modality}s to retrievable, as the index worker measures it now, is within its budget, and "
            "nothing waits long for a worker. The sensor `freshness_breach` reports when that changes."
        ),
    )
    def check(stack: StackResource) -> dg.AssetCheckResult:
        return told(lambda: stale(readings(stack)[modality], MODALITY_SLAS[modality]))

    return check


def _crowded() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=QUARANTINE_TABLE,
        name=CROWDED,
        description="Few events were set aside in the last hour. The sensor `quarantine` reports when that changes.",
    )
    def check(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        def look() -> Verdict:
            rows = open_hours(lakehouse).stamped(QUARANTINE_TABLE, "quarantined_at", utc_now() - AN_HOUR, COLUMNS)
            return crowded(rows)

        return told(look)

    return check
