"""The stream without a broker: the very functions of its three shells, over records that lie in a list."""

from __future__ import annotations

import pickle
import time

from mmplatform.artifacts import decode_artifact
from mmplatform.consumers.archiver import append_rows, group_by_table, next_offsets
from mmplatform.consumers.indexer import newest_per_id, upsert
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_fold import ChatFold
from mmplatform.derive.chat_memory import ChatMemory, InMemoryStore
from mmplatform.events import MODALITY_BY_KIND, Position, decode_event, encode, utc_now
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.reader import GroupProgress, LogEntry, Watermarks
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.modalities import ARTIFACTS_TOPIC, CALL, MODALITIES, QUARANTINE_TOPIC, RETRACTIONS_TABLE
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.process import Outcome, process, process_call_record
from mmplatform.pipeline.publish import outgoing_records
from mmplatform.pipeline.reprocess import inputs
from mmplatform.pipeline.reprocess.rederive import InMemoryCallFold
from quality.contracts import ContractLimits

PSEUDONYMS = Pseudonyms(b"key of the tests")


class Stream:
    """Derives, indexes and archives what it is given; one topic partition for each topic."""

    def __init__(self, lakehouse, index) -> None:
        self.lakehouse = lakehouse
        one_space = isinstance(index, ChromaIndex)
        self.index = DualWriteIndex(index, EmbedderRegistry(index), None, None) if one_space else index
        self.ends: dict[str, int] = {}
        self.folds: dict[str, InMemoryCallFold] = {}
        self.ledger = IdentityLedger()
        self.memory = InMemoryStore()
        self.log = {}

    def records(self, topic, values, headers=None):
        first = self.ends.get(topic, 0)
        self.ends[topic] = first + len(values)
        places = (Position(topic=topic, topic_partition=0, offset=first + n) for n in range(len(values)))
        now = utc_now()
        records = [
            ConsumedRecord(place, value, now, headers=head, logged_at=now)
            for place, value, head in zip(places, values, headers or [{}] * len(values), strict=True)
        ]
        self.log.setdefault(topic, []).extend(records)
        return records

    def send(self, events, deriver):
        """Events all the way into both stores; returns the records of the artifacts topic, to be read again."""
        spec = MODALITIES[MODALITY_BY_KIND[events[0].kind]]
        headers = [event_headers(event, PSEUDONYMS) for event in events]
        raw = self.records(spec.topic, [encode(event) for event in events], headers)
        if isinstance(deriver, CallDeriver):
            outcomes = [self._step(record, event, deriver) for record, event in zip(raw, events, strict=True)]
        else:
            if isinstance(deriver, ChatDeriver):
                deriver = ChatFold(deriver, ChatMemory(self.memory, self.read_event, key=b"key of the tests"))
            outcomes = [process([record], deriver, spec, ContractLimits(), self.ledger) for record in raw]
        self.archive(raw)
        return [record for outcome in outcomes for record in self.publish(outcome)]

    def read_event(self, position):
        return decode_event(self.log[position.topic][position.offset].value)

    def publish(self, outcome):
        """An outcome onto the log and into both stores; returns its records on the artifacts topic."""
        out = list(outgoing_records(outcome, PSEUDONYMS))
        artifacts, quarantined = (
            self.records(
                topic,
                [each.value for each in out if each.topic == topic],
                [each.headers for each in out if each.topic == topic],
            )
            for topic in (ARTIFACTS_TOPIC, QUARANTINE_TOPIC)
        )
        self.archive([*artifacts, *quarantined])
        self.write_index(artifacts)
        return artifacts

    def write_index(self, records):
        passages, gone = newest_per_id([decode_artifact(record.value, record.headers) for record in records])
        self.index.retract(gone, utc_now())
        upsert(self.index, passages)

    def wait_indexed(self):
        return True

    def _step(self, record, event, deriver):
        fold = self.folds.setdefault(event.conversation_id, InMemoryCallFold(deriver))
        return process_call_record(record, fold, CALL, ContractLimits())

    def archive(self, records):
        batch = group_by_table(records)
        retractions = batch.rows.get(RETRACTIONS_TABLE)
        if retractions:
            self.append(RETRACTIONS_TABLE, retractions, records)
        for table, versions in batch.retracted.items():
            self.lakehouse.delete_through(table, versions)
        for table, rows in batch.rows.items():
            if table != RETRACTIONS_TABLE:
                self.append(table, rows, records)

    def append(self, table, rows, records):
        append_rows(self.lakehouse, table, rows, next_offsets(records), lambda _, reason: AssertionError(reason))


class MemoryLog:
    """The log of a stream, as a rebuild reads it; ``archived``: how much of each topic the archiver has committed."""

    def __init__(self, stream, archived=1.0) -> None:
        self._log, self._archived = stream.log, archived

    def _records(self, topic):
        return self._log.get(topic, [])

    def watermarks(self, topics):
        return {topic: {0: Watermarks(0, len(self._records(topic)))} for topic in topics}

    def progress(self, _group, topics):
        ends = {topic: len(self._records(topic)) for topic in topics}
        return {topic: {0: GroupProgress(int(end * self._archived), end)} for topic, end in ends.items()}

    def read(self, topic, since=None, until=None):
        records = self._records(topic)
        for record in records[(since or {0: 0})[0] : (until or {0: len(records)})[0]]:
            yield LogEntry(record.position, None, record.value, dict(record.headers), record.logged_at)


class Published:
    """A change log that nobody reads yet: the archiver and the indexer are behind.

    ``folder``: the outcomes lie there for another process too, in order, as records do on the log.
    """

    def __init__(self, folder=None) -> None:
        self.outcomes = []
        self._folder = folder

    def publish(self, outcome):
        self.outcomes.append(outcome)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns()}.pickle"
            (self._folder / name).write_bytes(pickle.dumps((outcome.artifacts, outcome.quarantined)))

    @staticmethod
    def read(folder):
        """The outcomes that processes published, oldest first."""
        for path in sorted(folder.glob("*.pickle")):
            artifacts, quarantined = pickle.loads(path.read_bytes())  # noqa: S301 - the test wrote it
            yield Outcome(artifacts, quarantined)

    def wait_indexed(self):
        return False


def apply_changes(monkeypatch, stream):
    """Let runs publish to a stream of the test's own: archiver and indexer apply at once, and no broker is asked."""
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr(inputs, "open_change_log", lambda _settings, _parts: stream)
