"""A reprocessing run in a process of its own that stands still at a named point, to be ended there from outside.

``python -m tests.pipeline.paused_run DATA_DIR CHROMA HOUR POINT``
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.passages import DerivedBatch
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.reprocess.inputs import ReprocessInputs
from mmplatform.pipeline.reprocess.reprocess import reprocess
from mmplatform.ports import Redacted
from mmplatform.settings import load
from quality.contracts import ContractLimits
from tests.doubles.embedder import SeededEmbedder
from tests.pipeline.stream import Published

POINTS = ("derived", "messages", "tables", "upserting", "writing")
THERE = "there"


class Plain:
    """Finds nothing to take out."""

    name, version = "plain", "1"

    def redact(self, texts, *, spoken=False):  # noqa: ARG002
        return [Redacted(text, (), ()) for text in texts]


class Loud(ChatDeriver):
    """Another version, that shouts."""

    version = "9"

    def derive(self, arrivals):
        louder = [each.model_copy(update={"text": each.text.upper()}) for each in super().derive(arrivals).artifacts]
        return DerivedBatch(tuple(louder))


def chats(kind=ChatDeriver):
    return kind(SeededEmbedder(), Plain(), MemoryMemo())


def parts_of(settings, deriver) -> ReprocessInputs:
    lakehouse, index = Lakehouse.open(settings), ChromaIndex.open(settings)
    return ReprocessInputs(
        lakehouse, index, Published(), None, deriver, ContractLimits(), 64, settings.data_dir / "run" / "reprocess"
    )


def stand_still(*_args, **_how):
    print(THERE, flush=True)  # noqa: T201 - that is how the test hears of it
    time.sleep(600)


def arrange(point: str, parts: ReprocessInputs) -> None:
    """Stand still: with all derived; with one table committed; with a table's files written and not committed; with
    all tables committed; with one passage of the index upserted."""
    replace, upsert = parts.lakehouse.replace, parts.index.upsert

    def after_messages(table, replacement):
        # The tables are committed side by side: the others stand still before it.
        if table != "messages":
            time.sleep(600)
        replace(table, replacement)
        stand_still()

    def after_first(passages, now):
        upsert(passages[:1], now)
        stand_still()

    if point == "messages":
        parts.lakehouse.replace = after_messages
    elif point == "writing":
        parts.lakehouse._catalog.commit_table = stand_still
    elif point == "tables":
        parts.index.upsert = stand_still
    elif point == "upserting":
        parts.index.upsert = after_first


def main() -> None:
    data_dir, chroma, hour, point = sys.argv[1:]
    parts = parts_of(load(data_dir=Path(data_dir), chroma_url=chroma), chats(Loud))
    arrange(point, parts)
    progress = stand_still if point == "derived" else lambda *_: None
    reprocess("messages", datetime.fromisoformat(hour), parts, progress=progress)


if __name__ == "__main__":
    main()
