"""A reprocessing run in a process of its own that stands still at a named point, to be ended there from outside.

``python -m tests.pipeline.paused_run DATA_DIR CHROMA HOUR POINT``
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

from mmplatform.derive.chat import NO_SPANS, ChatDeriver
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

POINTS = ("derived", "published", "messages", "tables", "writing")
THERE = "there"


class Plain:
    """Finds nothing to take out."""

    name, version = "plain", "1"

    def redact(self, texts, *, spoken=False):  # noqa: ARG002
        return [Redacted(text, (), ()) for text in texts]


class Loud(ChatDeriver):
    """Another version, that shouts."""

    version = "9"

    def derive(self, arrivals, joint_spans=NO_SPANS):
        louder = [
            each.model_copy(update={"text": each.text.upper()})
            for each in super().derive(arrivals, joint_spans).artifacts
        ]
        return DerivedBatch(tuple(louder))


def chats(kind=ChatDeriver):
    return kind(SeededEmbedder(), Plain(), MemoryMemo())


def published_folder(settings, hour) -> Path:
    """Where the runs of an hour lay what they published."""
    return settings.data_dir / "published" / f"{hour:%m%d%H}"


def parts_of(settings, deriver, change_log=None) -> ReprocessInputs:
    lakehouse, index = Lakehouse.open(settings), ChromaIndex.open(settings)
    change_log = change_log or Published()
    return ReprocessInputs(
        lakehouse, index, change_log, None, deriver, ContractLimits(), 64, settings.data_dir / "run" / "reprocess"
    )


def stand_still(*_args, **_how):
    print(THERE, flush=True)  # noqa: T201 - that is how the test hears of it
    time.sleep(600)


def arrange(point: str, parts: ReprocessInputs) -> None:
    """Stand still: with all derived; with the changes published and no table changed; with one table committed; with
    all tables committed and the index behind; with a table's files written and not committed."""
    replace = parts.lakehouse.replace

    def after_messages(table, replacement):
        # The tables are committed side by side: the others stand still before it.
        if table != "messages":
            time.sleep(600)
        replace(table, replacement)
        stand_still()

    def before_any(_table, _replacement):
        stand_still()

    if point == "published":
        parts.lakehouse.replace = before_any
    elif point == "messages":
        parts.lakehouse.replace = after_messages
    elif point == "writing":
        parts.lakehouse._catalog.commit_table = stand_still
    elif point == "tables":
        parts.change_log.wait_indexed = stand_still


def main() -> None:
    data_dir, chroma, hour, point = sys.argv[1:]
    settings, start = load(data_dir=Path(data_dir), chroma_url=chroma), datetime.fromisoformat(hour)
    parts = parts_of(settings, chats(Loud), Published(published_folder(settings, start)))
    arrange(point, parts)
    progress = stand_still if point == "derived" else lambda *_: None
    reprocess("messages", start, parts, progress=progress)


if __name__ == "__main__":
    main()
