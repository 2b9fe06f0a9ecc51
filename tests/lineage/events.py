"""An event that is as large as a real one."""

from __future__ import annotations

from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.lineage.landings import StreamLineage
from mmplatform.modalities import TABLES
from mmplatform.settings import load
from tests.builders import chat, position

COLUMNS = {name: SPECS[name].columns for name in TABLES}


class RecordingSink:
    """An emitter that makes every event at once."""

    def __init__(self) -> None:
        self.events: list = []

    def emit(self, make):
        self.events.append(make())


def placed(record, offset=0, topic="artifacts"):
    """A row and its table."""
    position_ = position(offset, topic)
    table, row = record_to_row(record, position_)
    return table, (position_, row)


def an_event():
    """The START of a landing of chats."""
    sink = RecordingSink()
    table, row = placed(chat(), 3, "interactions.chat")
    with StreamLineage(load(kafka_bootstrap_servers="localhost:9092"), COLUMNS, sink, "3").landing(table, [row]):
        pass
    return sink.events[0]
