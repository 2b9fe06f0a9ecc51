"""The pictures of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quality.slas import MODALITY_SLAS

COLOURS = {"chat": "tab:blue", "call": "tab:orange", "screenshot": "tab:green"}


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
    for place, (name, active) in enumerate(loads.items()):
        last = place == len(loads) - 1
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
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
