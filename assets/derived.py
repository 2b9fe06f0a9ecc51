"""The derived assets: messages, transcripts and captions, and the passages of all three. Redacted."""

from __future__ import annotations

from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.partitions import HOURLY
from assets.reprocess import reprocess_asset
from assets.specs import same_hour_dep, stream_asset_spec
from mmplatform.artifacts import Caption, Message, Passage, Utterance
from mmplatform.events import Modality
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE

_RECORDS: Final[dict[Modality, type[BaseModel]]] = {"chat": Message, "call": Utterance, "screenshot": Caption}
_DESCRIPTIONS: Final[dict[Modality, str]] = {
    "chat": "Chat messages with personal data redacted: one row for each message.",
    "call": (
        "Speech of calls: one row for each utterance, with speaker, word times and confidence; audio that never came "
        "is a row of its own, marked as a gap."
    ),
    "screenshot": "Texts of screenshots: one row for each, with a caption and the lines that OCR read, with boxes.",
}


def derived_assets() -> list[dg.AssetsDefinition]:
    """``messages``, ``transcripts``, ``captions`` and ``passages``: landed by the stream, reprocessed by runs."""
    specs = [
        stream_asset_spec(
            spec.derived_table,
            stage="derived",
            description=_DESCRIPTIONS[modality],
            table=spec.derived_table,
            records=[_RECORDS[modality]],
            partitions=HOURLY,
            kinds={"iceberg", "python"},
            deps=[same_hour_dep(spec.raw_table)],
            tags={"modality": modality, "cost": spec.cost_class, "personal_data": "redacted"},
        )
        for modality, spec in MODALITIES.items()
    ]
    return [reprocess_asset(spec) for spec in (*specs, _passages_spec())]


def _passages_spec() -> dg.AssetSpec:
    return stream_asset_spec(
        PASSAGES_TABLE,
        stage="derived",
        description=(
            "Spans of text of every modality with their vectors, each citing its source: the contents of the index. "
            "The index can be rebuilt from here without running a model."
        ),
        table=PASSAGES_TABLE,
        records=[Passage],
        partitions=HOURLY,
        kinds={"iceberg", "python"},
        deps=[same_hour_dep(spec.derived_table) for spec in MODALITIES.values()],
        tags={"modality": "all", "personal_data": "redacted"},
    )
