"""Check ``lag`` of each raw table: the derivers' lag against the gateway's water marks."""

from __future__ import annotations

from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, live_check
from mmplatform.modalities import MODALITIES, ModalitySpec
from mmplatform.settings import Settings
from quality.checks.lag import LagThresholds, check_lag
from quality.checks.result import CheckResult
from resources.stack import Subscription

LAG: Final = "lag"


def lag_checks() -> list[dg.AssetChecksDefinition]:
    """One for each raw table."""
    return [_lag_check(modality, spec) for modality, spec in MODALITIES.items()]


def lag_thresholds(settings: Settings, modality: str) -> LagThresholds:
    """The gateway's water marks of a modality."""
    thresholds = settings.thresholds(modality)
    return LagThresholds(high=thresholds.high_water, low=thresholds.low_water)


def _lag_check(modality: str, spec: ModalitySpec) -> dg.AssetChecksDefinition:
    subscription = Subscription(spec.group, spec.topic)

    def check(resources: CheckResources) -> CheckResult:
        lag = resources.stack.lag([subscription])[subscription]
        return check_lag(lag, lag_thresholds(resources.stack.settings(), modality))

    return live_check(
        spec.raw_table,
        LAG,
        check,
        requires=("stack",),
        description=(
            f"The derivers of {modality}s are less behind than the high-water mark at which the gateway slows its "
            "sources. The sensor `lag` reports when that changes."
        ),
    )
