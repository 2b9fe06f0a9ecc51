"""The raw vault: every event as it arrived, one table for each modality. Only here texts are not redacted."""

from __future__ import annotations

from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.partitions import HOURLY
from assets.restore_hours import restore_asset
from assets.specs import stream_asset_spec
from mmplatform.events import (
    CallChunk,
    CallEnd,
    ChatDeleted,
    ChatEdited,
    ChatMessage,
    ChatRedacted,
    Modality,
    Screenshot,
)
from mmplatform.modalities import MODALITIES

_RECORDS: Final[dict[Modality, tuple[type[BaseModel], ...]]] = {
    "chat": (ChatMessage, ChatEdited, ChatDeleted, ChatRedacted),
    "call": (CallChunk, CallEnd),
    "screenshot": (Screenshot,),
}
_DESCRIPTIONS: Final[dict[Modality, str]] = {
    "chat": (
        "Chat messages as they arrived, and their edits, deletions and redactions: one row for each, its text "
        "unredacted."
    ),
    "call": (
        "Pieces of calls as they arrived: one row for each chunk of audio, with a pointer to its bytes, and one for "
        "the end of a call."
    ),
    "screenshot": "Screenshots as they arrived: one row for each, with a pointer to the image's bytes.",
}


def raw_assets() -> list[dg.AssetsDefinition]:
    """``raw_chats``, ``raw_calls`` and ``raw_screenshots``: landed by the stream, their hours restored by runs."""
    specs = {
        modality: stream_asset_spec(
            spec.raw_table,
            stage="raw",
            description=f"{_DESCRIPTIONS[modality]} From the topic `{spec.topic}`.",
            table=spec.raw_table,
            records=_RECORDS[modality],
            partitions=HOURLY,
            kinds={"iceberg", "kafka"},
            tags={"modality": modality, "personal_data": "unredacted"},
        )
        for modality, spec in MODALITIES.items()
    }
    return [restore_asset(MODALITIES[modality], spec) for modality, spec in specs.items()]
