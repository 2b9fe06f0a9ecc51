"""Replays an older log into this stack: its events are made into today's, with their bytes, and derived again (Kappa).

Nothing but events and bytes is taken over: tables, index, memo and call states follow from them. The old log stays as
it is. The replay can be run again: an event that is here already is a repetition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import BlobRef, CallChunk, CallEnd, Event, Screenshot, encode
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.blobs.addressing import verify_content
from mmplatform.modalities import MODALITIES, SHED
from mmplatform.ports import Blobs
from mmplatform.settings import Settings
from mmplatform.upcast import upcast_event

_BATCH: Final = 500
MigrationProgress = Callable[[str, int, int], None]
"""Called with a topic, the number of its records read, and their total."""


@dataclass(slots=True)
class MigrationResult:
    """Counts of a migration.

    Attributes:
        written: events that are on the new log now.
        blobs: blobs that were copied.
        no_events: records that no release could parse: they were dead letters of the old log.
        refused: events that could not be taken over, by the reason.
    """

    written: int = 0
    blobs: int = 0
    no_events: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class OldBlobs:
    """Blobs of version 1 in files: ``ab/abcdef…``, without a tenant."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, verified. Raises Rejected."""
        path = self._root / ref.sha256[:2] / ref.sha256
        try:
            return verify_content(path.read_bytes(), ref)
        except FileNotFoundError:
            raise Rejected("its bytes are not in the old blob store") from None


class Migration:
    """One replay of an old log.

    Args:
        settings: of this stack; events get its tenant.
        old_log: reads the old log.
        old_blobs: has the old bytes; ``None`` when they lie in the new store already.
        blobs: the new store.
        producer: writes the new log.
        pseudonyms: of the new record headers.
    """

    def __init__(
        self,
        settings: Settings,
        old_log: ReplayLog,
        old_blobs: OldBlobs | None,
        blobs: Blobs,
        producer: LogProducer,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._settings = settings
        self._old_log = old_log
        self._old_blobs = old_blobs
        self._blobs = blobs
        self._producer = producer
        self._pseudonyms = pseudonyms
        self.result = MigrationResult()
        self._sources: dict[str, str] = {}

    def run(self, old_prefix: str = "", progress: MigrationProgress = lambda _topic, _read, _total: None) -> None:
        """Replay all topics of events.

        Raises:
            Unavailable: a log or a blob store does not answer; run it again.
            Misconfigured: a topic is missing.
        """
        for spec in MODALITIES.values():
            old_topic = f"{old_prefix}{spec.topic}"
            watermarks = self._old_log.watermarks([old_topic])[old_topic].values()
            total, read = sum(watermark.high - watermark.low for watermark in watermarks), 0
            entries = self._old_log.read(old_topic)
            while batch := list(islice(entries, _BATCH)):
                read += len(batch)
                self._producer.send_all(self._records(batch, topic_name(self._settings, spec.topic)))
                progress(spec.topic, read, total)

    def _records(self, entries: list[LogEntry], topic: str) -> Iterator[LogRecord]:
        for entry in entries:
            try:
                event = self._with_source(upcast_event(entry.value, self._settings.tenant))
            except Rejected:
                self.result.no_events += 1
                continue
            try:
                event = self._with_bytes(event)
            except Rejected as error:
                self.result.refused[str(error)] += 1
                continue
            self.result.written += 1
            shed = {SHED: entry.headers[SHED]} if SHED in entry.headers else {}
            headers = event_headers(event, self._pseudonyms) | shed
            yield LogRecord(topic, event.conversation_key, encode(event), event.ingested_at, headers)

    def _with_source(self, event: Event) -> Event:
        """Give an end the source of its call's chunks: it was no part of the identity then."""
        if isinstance(event, CallChunk):
            self._sources[event.conversation_id] = event.source
        elif isinstance(event, CallEnd):
            return event.model_copy(update={"source": self._sources.get(event.conversation_id, event.source)})
        return event

    def _with_bytes(self, event: Event) -> Event:
        if not isinstance(event, CallChunk | Screenshot) or self._blobs.exists(event.blob):
            return event
        ref = event.blob
        if self._old_blobs is None:
            raise Rejected("its bytes are not in the blob store")
        stored = self._blobs.put(self._old_blobs.get(ref), media_type=ref.media_type)
        self.result.blobs += 1
        return event.model_copy(update={"blob": stored})
