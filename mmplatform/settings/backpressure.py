"""Backpressure: one set of thresholds for each modality, and the policy once its derivers are too far behind."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

BackpressurePolicy = Literal["buffer", "throttle", "shed"]
"""``buffer``: accept everything, the lag grows. ``throttle``: answer 429. ``shed``: keep the event, derive nothing."""


class Thresholds(BaseModel):
    """Thresholds of one modality. An age is that of the oldest event that no deriver has committed."""

    # Read from ``MMPLATFORM_CHAT_HIGH_WATER`` and its like: ``MMPLATFORM_CALL_GAP_TIMEOUT_S`` has the prefix too.
    model_config = ConfigDict(frozen=True, extra="ignore")

    backpressure_policy: BackpressurePolicy = Field(
        default="throttle", description="Policy above high water: `buffer`, `throttle` or `shed`."
    )
    high_water: int = Field(default=20_000, ge=1, description="Lag at which the policy begins, in events.")
    low_water: int = Field(default=10_000, ge=0, description="Lag at which the policy ends, in events.")
    high_water_age_s: float = Field(
        default=900.0,
        ge=0,
        description="Age of the oldest waiting event at which the policy begins too, in seconds; 0: never.",
    )
    low_water_age_s: float = Field(
        default=300.0, ge=0, description="Age of the oldest waiting event at which the policy ends, in seconds."
    )


class BackpressureSettings(BaseModel):
    """The thresholds of each modality."""

    chat: Thresholds = Thresholds()
    call: Thresholds = Thresholds(high_water=1_000, low_water=500)
    screenshot: Thresholds = Thresholds(high_water=200, low_water=100)

    def thresholds(self, modality: str) -> Thresholds:
        """The thresholds of one modality, by its name."""
        found: Thresholds = getattr(self, modality)
        return found
