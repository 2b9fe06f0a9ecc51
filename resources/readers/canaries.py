"""Canaries of the running stack, as their process reports them."""

from __future__ import annotations

from typing import Final

from quality.checks.canaries import CanaryReading
from resources.stack import StackResource

_QUANTILES: Final = ("p50", "p95", "p99", "max")
_NOT_FOUND: Final = frozenset({"missing", "refused"})


def read_canaries(stack: StackResource) -> dict[str, CanaryReading]:
    """The reading of each modality; empty where canaries are off. Raises ``Unavailable``, ``Misconfigured``."""
    if not stack.settings().canary_interval_s:
        return {}
    return {
        modality: CanaryReading(
            outcomes=found.outcomes,
            false_receipts=found.recent_false_receipts,
            gap_s={name: seconds for name in _QUANTILES if (seconds := getattr(found.gap, name)) is not None},
            not_found=tuple(
                sorted(number for number, last in found.topic_partitions.items() if last.outcome in _NOT_FOUND)
            ),
        )
        for modality, found in stack.canary_status().canaries.items()
    }
