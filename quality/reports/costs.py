"""Costs of a day: seconds of model time by modality, model and unit of input, and the bytes that are stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from quality.rows import Row

MODEL_COLUMNS: Final = ("modality", "deriver", "model", "model_version", "seconds", "memo_hit")

_UNITS: Final = {"chat": (1000.0, "1,000 chats"), "call": (1.0, "audio hour"), "screenshot": (1.0, "screenshot")}


@dataclass(slots=True)
class ModelUsage:
    """One model's use for one modality."""

    seconds: float = 0.0
    artifacts: int = 0
    memo_hits: int = 0


@dataclass(slots=True)
class DayCosts:
    """The figures of a day.

    Attributes:
        usage: by modality and model (its deriver where there is none).
        inputs: chats, hours of audio, screenshots, by modality.
    """

    usage: dict[tuple[str, str], ModelUsage] = field(default_factory=lambda: defaultdict(ModelUsage))
    inputs: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add_artifacts(self, rows: Iterable[Row]) -> None:
        """Add the seconds of artifacts, from their provenance."""
        for row in rows:
            model = f"{row['model']} {row['model_version'] or ''}".strip() if row["model"] else row["deriver"]
            usage = self.usage[str(row["modality"]), str(model)]
            usage.seconds += row["seconds"] or 0.0
            usage.artifacts += 1
            usage.memo_hits += bool(row["memo_hit"])

    def seconds(self, modality: str) -> float:
        """Machine-seconds of a modality."""
        return sum(usage.seconds for (used_by, _), usage in self.usage.items() if used_by == modality)

    def per_unit(self) -> dict[str, float]:
        """Machine-seconds for 1,000 chats, an hour of audio, a screenshot; of the modalities that had any."""
        return {
            modality: self.seconds(modality) / self.inputs[modality] * unit
            for modality, (unit, _) in _UNITS.items()
            if self.inputs.get(modality)
        }


@dataclass(frozen=True, slots=True)
class StoredSize:
    """Rows and bytes of a table, or of the blobs; ``day_rows`` and ``day_size``: those by the events of the day."""

    rows: int
    size: int
    day_rows: int
    day_size: int


def as_markdown(costs: DayCosts, stored: Mapping[str, StoredSize], price: float | None = None) -> str:
    """Three tables. ``price``: of a machine-hour, in any currency; ``None``: seconds only."""
    text = "| per | machine-seconds |" + (" cost |\n|---|---|---|\n" if price is not None else "\n|---|---|\n")
    for modality, seconds in costs.per_unit().items():
        cost = "" if price is None else f" {seconds / 3600 * price:.6g} |"
        text += f"| {_UNITS[modality][1]} | {seconds:.3f} |{cost}\n"
    text += "\n| modality | model | machine-seconds | artifacts | from memo |\n|---|---|---|---|---|\n"
    for (modality, model), usage in sorted(costs.usage.items()):
        text += f"| {modality} | {model} | {usage.seconds:.3f} | {usage.artifacts} | {usage.memo_hits} |\n"
    text += "\n| stored in | rows | bytes | rows of the day | bytes of the day |\n|---|---|---|---|---|\n"
    for name, size in stored.items():
        text += f"| {name} | {size.rows} | {size.size} | {size.day_rows} | {size.day_size} |\n"
    return text
