"""The pictures of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from quality.slas import MODALITY_SLAS

COLOURS = {"chat": "tab:blue", "call": "tab:orange", "screenshot": "tab:green"}
_TICKS_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def exceedance(loads: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """The complementary CDF: the share of passages that took longer than a gap, on two logarithmic axes.

    Args:
        loads: gaps in seconds, by load and modality. The last load is drawn in full, the others thin.
        path: the PNG.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), dpi=90)
    for index, (name, active) in enumerate(loads.items()):
        last = index == len(loads) - 1
        for modality, gaps in active.items():
            ordered = sorted(gaps)
            shares = 1 - np.arange(len(ordered)) / len(ordered)
            style = "-" if last else "--"
            label = f"{modality}, {name} ({len(ordered)})"
            axes.step(ordered, shares, style, where="post", color=COLOURS[modality], label=label, lw=1.6 if last else 1)
    for modality, colour in COLOURS.items():
        axes.axvline(MODALITY_SLAS[modality].gap_s, color=colour, linestyle=":", linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="freshness gap, seconds (dotted: budget)", ylabel="share that took longer"
    )
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in _TICKS_S if low <= tick <= high], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def surge(
    figures: Mapping[str, Any], between: tuple[float, float], thresholds: tuple[int, int], budget_s: float, path: Path
) -> None:
    """Plot arrivals and acceptances per second, the lag with its thresholds, and the gap; grey while throttled.

    Args:
        figures: the output of ``benchmarks/surge.py``.
        between: seconds at which the surge begins and ends.
        thresholds: high and low water.
        budget_s: of the gap.
        path: the PNG.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (rates, lag, gap) = plt.subplots(3, 1, figsize=(7, 6), dpi=80, sharex=True)
    seconds = np.arange(len(figures["due"]))
    rates.plot(seconds, figures["due"], color="0.6", label="due at the sources")
    rates.plot(seconds, figures["accepted"], color=COLOURS["chat"], label="accepted by the gateway")
    rates.set(ylabel="chats a second")
    sampled_s, lags, throttled = (np.array(column, dtype=float) for column in zip(*figures["samples"], strict=True))
    lag.plot(sampled_s, lags, color=COLOURS["chat"])
    for threshold, name in zip(thresholds, ("high water", "low water"), strict=True):
        lag.axhline(threshold, color="0.3", linestyle=":", linewidth=1)
        lag.annotate(name, (0, threshold), fontsize=7, va="bottom")
    lag.set(ylabel="lag, chats")
    for name, style in (("gap_p50", "-"), ("gap_max", "--")):
        values = np.array([np.nan if value is None else value for value in figures[name]])
        gap.plot(seconds, np.maximum(values, 0.05), style, color=COLOURS["call"], label=name.removeprefix("gap_"))
    gap.axhline(budget_s, color="0.3", linestyle=":", linewidth=1)
    gap.set(yscale="log", ylabel="gap, seconds\n(dotted: budget)", xlabel="seconds; arrivals were due then")
    for axes in (rates, lag, gap):
        for edge in between:
            axes.axvline(edge, color="0.8", linewidth=1)
        axes.fill_between(
            sampled_s, 0, 1, where=throttled > 0, transform=axes.get_xaxis_transform(), color="0.9", label="throttled"
        )
        axes.grid(visible=True, alpha=0.25)
    rates.legend(fontsize=7, loc="upper right")
    gap.legend(fontsize=7, loc="upper right")
    figure.align_ylabels()
    figure.tight_layout()
    figure.savefig(path)
