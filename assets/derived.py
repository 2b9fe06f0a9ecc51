"""What the derivers make of the events: messages, transcripts and captions, and the passages of all three. Redacted."""

from __future__ import annotations

from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.partitions import HOURLY
from assets.reprocess import reprocessed
from assets.specs import external, same_hour
from mmplatform.artifacts import Caption, Message, Passage, Utterance
from mmplatform.events import Modality
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE

_RECORDS: Final[dict[Modality, type[BaseModel]]] = {"chat": Message, "call": Utterance, "screenshot": Caption}
_DESCRIPTIONS: Final[dict[Modality, str]] = {
    "chat": "Chat messages with personal data taken out: one row for each message.",
    "call": (
        "What was said in calls: one row for each utterance, with speaker, word times and confidence; audio that never "
        "came is a row of its own, marked as a gap."
    ),
    "screenshot": "What screenshots show: one row for each, with a caption and the lines that OCR read, with boxes.",
}


def derived_assets() -> list[dg.AssetsDefinition]:
    """``messages``, ``transcripts``, ``captions`` and ``passages``: landed by the stream, and made again by runs."""
    first = [
        external(
            spec.derived_table,
            stage="derived",
            description=_DESCRIPTIONS[modality],
            table=spec.derived_table,
            records=[_RECORDS[modality]],
            partitions=HOURLY,
            kinds={"iceberg", "python"},
            deps=[same_hour(spec.raw_table)],
            tags={"modality": modality, "cost": spec.cost_class, "personal_data": "redacted"},
        )
        for modality, spec in MODALITIES.items()
    ]
    return [reprocessed(spec) for spec in (*first, _passages())]


def _passages() -> dg.AssetSpec:
    return external(
        PASSAGES_TABLE,
        stage="derived",
        description=(
            "Spans of text of every modality with their vectors, each citing its source: what the index holds. The "
            "index can be built again from here without running a model."
        ),
        table=PASSAGES_TABLE,
        records=[Passage],
        partitions=HOURLY,
        kinds={"iceberg", "python"},
        deps=[same_hour(spec.derived_table) for spec in MODALITIES.values()],
        tags={"modality": "all", "personal_data": "redacted"},
    )
