"""When a modality is too far behind: the gateway's own water marks, with hysteresis. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quality.checks.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Marks:
    """Events behind: at ``high`` sources are slowed, at ``low`` they may go on."""

    high: int
    low: int


def water(lag: int, marks: Marks, *, was_low: bool | None = None) -> Verdict:
    """Whether a lag is no reason to slow the sources.

    Args:
        lag: events that the derivers are behind.
        marks: where it counts as too far.
        was_low: what was said before; between the marks that stays. Without it only the high one counts.
    """
    low = lag < marks.high if was_low is not False else lag <= min(marks.low, marks.high - 1)
    words = f"{lag} events behind; sources are slowed at {marks.high} and go on at {marks.low}"
    return Verdict(holds=low, words=words, figures={"lag": lag, "high_water": marks.high, "low_water": marks.low})
