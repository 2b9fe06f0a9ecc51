"""Check ``freshness_breach`` of each derived table: freshness as the running stack measures it now."""

from __future__ import annotations

from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, live_check
from mmplatform.events import Modality
from mmplatform.modalities import MODALITIES, ModalitySpec
from quality.checks.freshness_breach import check_freshness_breach
from quality.checks.result import CheckResult
from quality.slas import MODALITY_SLAS
from resources.readers.freshness_readings import read_freshness

FRESHNESS_BREACH: Final = "freshness_breach"


def freshness_breach_checks() -> list[dg.AssetChecksDefinition]:
    """One for each derived table."""
    return [_freshness_breach_check(modality, spec) for modality, spec in MODALITIES.items()]


def _freshness_breach_check(modality: Modality, spec: ModalitySpec) -> dg.AssetChecksDefinition:
    def check(resources: CheckResources) -> CheckResult:
        return check_freshness_breach(read_freshness(resources.stack)[modality], MODALITY_SLAS[modality])

    return live_check(
        spec.derived_table,
        FRESHNESS_BREACH,
        check,
        requires=("stack",),
        description=(
            f"The gap of {modality}s to retrievable, as the index worker measures it now, is within its budget, and "
            "no worker's backlog has stalled. The sensor `freshness_breach` reports when that changes."
        ),
    )
