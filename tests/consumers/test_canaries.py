"""What the consumers do with canaries: no row, no figure, and no entry of the memo."""

from __future__ import annotations

from datetime import timedelta

from mmplatform.consumers.archiver import group_by_table, next_offsets
from mmplatform.consumers.index_sink import PendingRow
from mmplatform.consumers.indexer import write_bucket
from mmplatform.derive.passages import PassageDraft, make_passages
from mmplatform.events import encode
from mmplatform.identity import CANARY_TENANT
from mmplatform.kafka.headers import Pseudonyms, event_headers, is_canary, output_headers
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import NOON, chat, message, passage, position

PSEUDONYMS = Pseudonyms(b"key of the tests")
OWN = {"tenant": CANARY_TENANT}


def consumed(number, event):
    headers = event_headers(event, PSEUDONYMS)
    return ConsumedRecord(position(number, topic="interactions.chat"), encode(event), NOON, headers=headers)


def derived(number, artifact):
    return ConsumedRecord(position(number), encode(artifact), NOON, headers=output_headers(artifact, PSEUDONYMS))


def test_the_archiver_makes_rows_of_customers_alone_and_goes_on_behind_a_canary():
    records = [consumed(0, chat(0)), consumed(1, chat(1).model_copy(update=OWN))]
    records += [derived(0, message(0)), derived(1, message(1).model_copy(update=OWN))]
    records += [derived(2, passage(2).model_copy(update=OWN))]
    assert [is_canary(record.headers) for record in records] == [False, True, False, True, True]
    batch = group_by_table(records)
    assert {table: len(rows) for table, rows in batch.rows.items()} == {"raw_chats": 1, "messages": 1}
    assert (batch.unparsed, list(batch.dead_letters)) == (0, [])
    assert next_offsets(records) == {("interactions.chat", 0): 2, ("artifacts", 0): 3}


class Index(MemoryIndex):
    def retract(self, retractions, now):
        assert not retractions, now


def test_the_indexer_indexes_a_canary_and_measures_customers_alone():
    status, index = WorkerStatus("index", freshness=FreshnessTracker()), Index()
    own = passage(2, subject="20260305-chat-2").model_copy(update=OWN)
    rows = [PendingRow(one, derived(number, one)) for number, one in enumerate((passage(1), own))]
    write_bucket(index, status, rows)
    assert [hit.passage_id for hit in index.search(own.vector, embedder=own.embedder, subject=own.subject_key)]
    page = status.as_json()
    assert sum(bucket["upserted"] for bucket in page["buckets"].values()) == 1
    assert page["gap"]["chat"]["count"] == 1


def test_the_memo_of_the_embedder_gets_no_text_of_a_canary():
    memo, embedder = MemoryMemo(), SeededEmbedder()

    def drafts(source):
        return [PassageDraft(source, 0, source.text, passage(1).locator)]

    own = message(2, text="The canary sings", at=NOON + timedelta(seconds=1)).model_copy(update=OWN)
    for _ in range(2):
        [one, two] = make_passages(drafts(message(1)) + drafts(own), embedder, memo)
        assert (one.text, two.text) == (message(1).text, own.text)
    assert (one.provenance.memo_hit, two.provenance.memo_hit) == (True, False)
    assert two.vector.tolist() == embedder.embed([own.text])[0].tolist()
