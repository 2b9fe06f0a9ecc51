"""Quantiles with linear interpolation, for checks, reports and telemetry alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share lies, interpolated between neighbours; ``values`` must not be empty."""
    return quantiles(values, (share,))[0]


def quantiles(values: Iterable[float], shares: Sequence[float]) -> tuple[float, ...]:
    """Several quantiles of the same values, which are sorted once."""
    # Plain floats: numpy's own, which an array gives, are not serializable for Dagster.
    ordered = sorted(map(float, values))
    return tuple(_interpolated(ordered, share * (len(ordered) - 1)) for share in shares)


def _interpolated(ordered: Sequence[float], position: float) -> float:
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
