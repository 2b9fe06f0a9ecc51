"""Control plane with data: a running broker, index and lakehouse, and the UI."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from mmplatform.artifacts import Utterance, artifact_id
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.passages import quarantine
from mmplatform.events import utc_now
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import ARTIFACTS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.factories import open_embedder, open_redactor
from mmplatform.refusals import Quarantined
from mmplatform.settings import Settings, load
from tests.browser.opened import dagster_ui
from tests.builders import arrival, chat, chunk, position, stamps
from tests.land.records import provenance
from tests.pipeline.stream import Stream
from tests.servers.broker import embedded_broker
from tests.servers.chroma import running_chroma

CHATS: Final = 6
LOST: Final = artifact_id("message", chat(2).uid, 0)
QUARANTINED: Final = 25
"""More in an hour than `quarantine_rate` allows."""


@dataclass(frozen=True)
class Plane:
    """Address of the UI, and its content."""

    address: str
    lakehouse: Lakehouse
    hour: str
    settings: Settings


@contextmanager
def control_plane(home: Path):
    """Chats of two hours ago, of which :data:`LOST` is not in the table; calls of now; a quarantine that is full."""
    with embedded_broker(home / "broker") as kafka, running_chroma(home / "chroma") as chroma:
        given = {"data_dir": str(home / "data"), "kafka_bootstrap_servers": kafka, "chroma_url": chroma}
        environment = {f"MMPLATFORM_{name.upper()}": value for name, value in given.items()}
        settings = load(**given)
        ensure_topics(settings)
        lakehouse = Lakehouse.open(settings)
        lakehouse.ensure_tables()
        hour = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        _chats(settings, lakehouse, hour)
        land(lakehouse, *(_spoken(index) for index in range(40)))
        land(lakehouse, *(_quarantine(number) for number in range(QUARANTINED)), topic=QUARANTINE_TOPIC)
        with dagster_ui(home / "dagster", environment, daemon=True) as address:
            yield Plane(address, lakehouse, f"{hour:%Y-%m-%d-%H:00}", settings)


def land(lakehouse: Lakehouse, *records, topic=ARTIFACTS_TOPIC):
    for number, record in enumerate(records):
        place = position(1000 + number, topic=topic)
        table, row = record_to_row(record, place)
        lakehouse.append(table, [(place, row)], offsets={}, source="test")


def _chats(settings: Settings, lakehouse: Lakehouse, hour: datetime) -> None:
    index = ChromaIndex.open(settings)
    deriver = ChatDeriver(open_embedder(settings), open_redactor(settings), MemoryMemo())
    times = [hour + timedelta(minutes=number) for number in range(CHATS)]
    chats = [chat(number, event_time=at, ingested_at=at) for number, at in enumerate(times)]
    Stream(lakehouse, index).send(chats, deriver)
    lakehouse.table("messages").delete(f"artifact_id = '{LOST}'")
    index.close()


def _spoken(index: int) -> Utterance:
    """Something said a little while ago."""
    event = chunk(index)
    at = utc_now() - timedelta(seconds=240 - 5 * index)
    return Utterance(
        artifact_id=artifact_id("utterance", f"call-1/{index}", 0),
        modality="call",
        conversation_id="call-1",
        subject_id=event.subject_id,
        stamps=stamps(event_time=at, ingested_at=at + timedelta(seconds=1), derived_at=at + timedelta(seconds=3)),
        provenance=provenance(0).model_copy(update={"event_ids": (event.event_id,)}),
        call_id="call-1",
        channel=index % 2,
        speaker="agent" if index % 2 else "customer",
        start_s=event.start_s,
        end_s=event.start_s + 0.5,
        text=f"that was sentence number {index}",
        language="en",
        confidence=0.6 + index / 100,
    )


def _quarantine(number: int) -> Quarantined:
    """A record that was just quarantined."""
    at = utc_now() - timedelta(minutes=number)
    event = chat(number, event_id=f"odd-{number}", event_time=at, ingested_at=at)
    return quarantine(arrival(event, number), contract="raw_chats", reasons=("text: not blank",))
