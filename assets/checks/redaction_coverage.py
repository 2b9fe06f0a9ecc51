"""Check ``redaction_coverage``: the share of an hour's texts whose language no finder of personal data knows."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check
from mmplatform.modalities import MODALITIES
from quality.checks.redaction_coverage import check_redaction_coverage
from quality.checks.result import CheckResult
from resources.readers.hours import HourReader

REDACTION_COVERAGE: Final = "redaction_coverage"
_COLUMNS: Final = ("text", "language", "redaction_coverage")


def redaction_coverage_checks() -> list[dg.AssetChecksDefinition]:
    """One for each derived table of a modality."""
    return [_check(spec.derived_table) for spec in MODALITIES.values()]


def _check(table: str) -> dg.AssetChecksDefinition:
    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        del resources
        return check_redaction_coverage(reader.rows(table, hour, _COLUMNS))

    return hourly_check(
        table,
        REDACTION_COVERAGE,
        check,
        description=(
            "Few texts of the hour are in a language that no finder of personal data knows. In such a text only what "
            "has the same shape in every language was redacted: names stay."
        ),
    )
