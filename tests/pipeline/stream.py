"""The stream without a broker: the very functions of its three shells, over records that lie in a list."""

from __future__ import annotations

from mmplatform.artifacts import decode_artifact
from mmplatform.consumers.archiver import append_rows, group_by_table, next_offsets
from mmplatform.consumers.indexer import latest_per_id, upsert
from mmplatform.consumers.publish import outgoing_records
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.events import MODALITY_BY_KIND, Position, encode, utc_now
from mmplatform.modalities import ARTIFACTS_TOPIC, CALL, MODALITIES, QUARANTINE_TOPIC
from mmplatform.pipeline.process import ConsumedRecord, process, process_call_record
from mmplatform.pipeline.reprocess.rederive import InMemoryCallFold
from quality.contracts import ContractLimits


class Stream:
    """Derives, indexes and archives what it is given; one topic partition for each topic."""

    def __init__(self, lakehouse, index) -> None:
        self.lakehouse, self.index = lakehouse, index
        self.ends: dict[str, int] = {}
        self.folds: dict[str, InMemoryCallFold] = {}

    def records(self, topic, values):
        first = self.ends.get(topic, 0)
        self.ends[topic] = first + len(values)
        places = (Position(topic=topic, topic_partition=0, offset=first + n) for n in range(len(values)))
        return [ConsumedRecord(place, value, utc_now()) for place, value in zip(places, values, strict=True)]

    def send(self, events, deriver):
        """Events all the way into both stores; returns the records of the artifacts topic, to be read again."""
        spec = MODALITIES[MODALITY_BY_KIND[events[0].kind]]
        raw = self.records(spec.topic, [encode(event) for event in events])
        if isinstance(deriver, CallDeriver):
            outcomes = [self._step(record, event, deriver) for record, event in zip(raw, events, strict=True)]
        else:
            outcomes = [process([record], deriver, spec, ContractLimits()) for record in raw]
        out = [each for outcome in outcomes for each in outgoing_records(outcome)]
        artifacts = self.records(ARTIFACTS_TOPIC, [each.value for each in out if each.topic == ARTIFACTS_TOPIC])
        quarantined = self.records(QUARANTINE_TOPIC, [each.value for each in out if each.topic == QUARANTINE_TOPIC])
        self.archive([*raw, *artifacts, *quarantined])
        passages, gone = latest_per_id([decode_artifact(record.value) for record in artifacts])
        upsert(self.index, passages)
        self.index.delete([each.artifact_id for each in gone])
        return artifacts

    def _step(self, record, event, deriver):
        fold = self.folds.setdefault(event.conversation_id, InMemoryCallFold(deriver))
        return process_call_record(record, fold, CALL, ContractLimits())

    def archive(self, records):
        batch = group_by_table(records)
        for table, before in batch.retracted.items():
            self.lakehouse.delete_before(table, before)
        for table, rows in batch.rows.items():
            append_rows(self.lakehouse, table, rows, next_offsets(records), lambda _, reason: AssertionError(reason))
