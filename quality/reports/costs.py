"""What a day cost: the seconds that models took, by who took them and per unit of input, and what was kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Row = Mapping[str, Any]
MODEL_COLUMNS: Final = ("modality", "deriver", "model", "model_version", "seconds", "memo_hit")

_UNITS: Final = {"chat": (1000.0, "1,000 chats"), "call": (1.0, "audio hour"), "screenshot": (1.0, "screenshot")}


@dataclass(slots=True)
class Work:
    """What one model did for one modality."""

    seconds: float = 0.0
    artifacts: int = 0
    memo_hits: int = 0


@dataclass(slots=True)
class Costs:
    """The figures of a day.

    Attributes:
        work: by modality and model (its deriver where there is none).
        inputs: chats, hours of audio, screenshots, by modality.
    """

    work: dict[tuple[str, str], Work] = field(default_factory=lambda: defaultdict(Work))
    inputs: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def made(self, rows: Iterable[Row]) -> None:
        """Take in artifacts; of each its seconds, as the provenance says them."""
        for row in rows:
            model = f"{row['model']} {row['model_version'] or ''}".strip() if row["model"] else row["deriver"]
            work = self.work[str(row["modality"]), str(model)]
            work.seconds += row["seconds"] or 0.0
            work.artifacts += 1
            work.memo_hits += bool(row["memo_hit"])

    def seconds(self, modality: str) -> float:
        """Machine-seconds of a modality."""
        return sum(work.seconds for (of, _), work in self.work.items() if of == modality)

    def per_unit(self) -> dict[str, float]:
        """Machine-seconds for 1,000 chats, an hour of audio, a screenshot; of the modalities that had any."""
        return {
            modality: self.seconds(modality) / self.inputs[modality] * unit
            for modality, (unit, _) in _UNITS.items()
            if self.inputs.get(modality)
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """What a table, or the blobs, take: ``day`` of them by the events of the day."""

    rows: int
    size: int
    day_rows: int
    day_size: int


def as_markdown(costs: Costs, kept: Mapping[str, Kept], price: float | None = None) -> str:
    """Three tables. ``price``: of a machine-hour, in whatever money; ``None``: seconds only."""
    text = "| per | machine-seconds |" + (" cost |\n|---|---|---|\n" if price is not None else "\n|---|---|\n")
    for modality, seconds in costs.per_unit().items():
        money = "" if price is None else f" {seconds / 3600 * price:.6g} |"
        text += f"| {_UNITS[modality][1]} | {seconds:.3f} |{money}\n"
    text += "\n| modality | model | machine-seconds | artifacts | from memo |\n|---|---|---|---|---|\n"
    for (modality, model), work in sorted(costs.work.items()):
        text += f"| {modality} | {model} | {work.seconds:.3f} | {work.artifacts} | {work.memo_hits} |\n"
    text += "\n| kept in | rows | bytes | rows of the day | bytes of the day |\n|---|---|---|---|---|\n"
    for name, each in kept.items():
        text += f"| {name} | {each.rows} | {each.size} | {each.day_rows} | {each.day_size} |\n"
    return text
