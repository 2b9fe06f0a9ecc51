"""Check ``canaries`` of the index: synthetic events are found, and no receipt claims one that is not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quality.checks.result import CheckResult, RawMetadataValue


@dataclass(frozen=True, slots=True)
class CanaryReading:
    """Canaries of one modality.

    Attributes:
        outcomes: their number by outcome.
        false_receipts: canaries of the last day that a receipt claimed and the search did not return. An older one does
            not fail the check for ever.
        gap_s: quantiles by name, from the acknowledgement to the answer that had the canary.
        not_found: topic partitions whose last canary was accepted and not found.
    """

    outcomes: Mapping[str, int]
    false_receipts: int
    gap_s: Mapping[str, float]
    not_found: tuple[str, ...] = ()


def check_canaries(readings: Mapping[str, CanaryReading]) -> CheckResult:
    """Fails when a receipt claimed too much within a day, or the last canary of a topic partition was not found."""
    metadata: dict[str, RawMetadataValue] = {}
    reasons = []
    for modality, reading in sorted(readings.items()):
        metadata |= {f"{modality}_canaries": sum(reading.outcomes.values())}
        metadata |= {f"{modality}_found": reading.outcomes.get("found", 0)}
        metadata |= {f"{modality}_false_receipts": reading.false_receipts}
        metadata |= {f"{modality}_{name}_s": round(seconds, 3) for name, seconds in reading.gap_s.items()}
        if reading.false_receipts:
            reasons.append(f"{modality}: receipts claimed {reading.false_receipts} canaries that were not found")
        if reading.not_found:
            reasons.append(f"{modality}: not found in topic partition {', '.join(reading.not_found)}")
    if reasons:
        return CheckResult(passed=False, description="; ".join(reasons), metadata=metadata)
    total = sum(sum(reading.outcomes.values()) for reading in readings.values())
    description = f"{total} canaries, and no receipt claimed too much" if total else "quiet: no canary yet"
    return CheckResult(passed=True, description=description, metadata=metadata)
