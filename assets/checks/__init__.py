"""The asset checks; a file is named as the check that it holds, but for ``windows``, ``factory`` and ``hours``.

They read and change nothing. The stream lands rows whether checks pass or not. Only in a run that reprocesses an hour
does a broken contract block the assets downstream. Resources read, :mod:`quality` decides, and the checks here join the
two.
"""

from __future__ import annotations

import dagster as dg

from assets.checks.bytes_stored import bytes_stored_checks
from assets.checks.canaries import canaries_check
from assets.checks.complete_up_to import complete_up_to_checks
from assets.checks.completeness import completeness_checks
from assets.checks.contract import contract_checks
from assets.checks.freshness_breach import freshness_breach_checks
from assets.checks.freshness_gap import freshness_gap_checks
from assets.checks.lag import lag_checks
from assets.checks.lineage_complete import lineage_complete_checks
from assets.checks.quarantine_rate import quarantine_rate_check
from assets.checks.redaction_coverage import redaction_coverage_checks
from assets.checks.watermark import watermark_checks
from assets.checks.windows import window_checks


def all_checks() -> list[dg.AssetChecksDefinition]:
    """Every check."""
    return [
        *contract_checks(),
        *freshness_gap_checks(),
        *complete_up_to_checks(),
        *completeness_checks(),
        *watermark_checks(),
        *redaction_coverage_checks(),
        *lineage_complete_checks(),
        *lag_checks(),
        *bytes_stored_checks(),
        *freshness_breach_checks(),
        *window_checks(),
        quarantine_rate_check(),
        canaries_check(),
    ]
