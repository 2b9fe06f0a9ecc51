from __future__ import annotations

from datetime import timedelta

import pytest
from quixstreams.sinks.base import SinkBackpressureError

from mmplatform.artifacts import Retraction
from mmplatform.consumers.batch_sink import BatchSink, EagerSink
from mmplatform.consumers.index_sink import PendingRow, PendingRows
from mmplatform.consumers.indexer import newest_per_id, record_freshness, write_bucket
from mmplatform.derive.passages import quarantine
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import encode
from mmplatform.kafka.headers import Pseudonyms, output_headers
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.publish import outgoing_records
from mmplatform.pipeline.record_size import MAX_RECORD_BYTES
from mmplatform.refusals import DeadLetter
from mmplatform.settings import load
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import NOW, arrival, chat, message, passage, position

PSEUDONYMS = Pseudonyms(b"key of the tests")
SETTINGS = load(topic_prefix="team-")


def add(sink: BatchSink, offset: int, topic: str = "team-interactions.chat") -> None:
    sink.add(b"value", b"key", 0, None, topic, 0, offset)


def test_a_batch_holds_all_topic_partitions_and_leaves_once():
    landed: list[list[ConsumedRecord]] = []
    sink = BatchSink(SETTINGS, landed.append)
    add(sink, 1)
    add(sink, 5, "team-artifacts")
    sink.flush()
    sink.flush()
    assert [[(r.position.topic, r.position.offset) for r in batch] for batch in landed] == [
        [("interactions.chat", 1), ("artifacts", 5)]
    ]


@pytest.mark.parametrize(("error", "pause"), [(Busy("full", retry_after=7.0), 7.0), (Unavailable("gone"), 1.0)])
def test_a_store_that_is_away_becomes_backpressure_and_the_batch_is_read_again(error, pause):
    def land(_):
        raise error

    sink = BatchSink(SETTINGS, land)
    add(sink, 1)
    with pytest.raises(SinkBackpressureError) as raised:
        sink.flush()
    assert raised.value.retry_after == pause
    sink.flush()  # nothing is kept: the log has it


def test_a_permanent_error_ends_the_worker():
    def land(_):
        raise Permanent("disk")

    sink = BatchSink(SETTINGS, land)
    add(sink, 1)
    with pytest.raises(Permanent):
        sink.flush()


def test_a_paused_sink_forgets_what_will_be_read_again():
    landed: list[object] = []
    sink = BatchSink(SETTINGS, landed.append)
    add(sink, 1)
    sink.on_paused()
    sink.flush()
    assert landed == []


def test_an_eager_sink_lands_when_nothing_more_waits_and_grows_while_records_come():
    landed: list[list[int]] = []
    sink = EagerSink(SETTINGS, lambda records: landed.append([record.position.offset for record in records]))
    assert not sink.lands_when_idle
    assert not sink.after_poll()
    add(sink, 1)
    assert not sink.after_poll(), "more may wait"
    assert sink.lands_when_idle
    assert not sink.after_poll()
    assert landed == [[1]]
    for offset in (2, 3, 4):
        add(sink, offset)
        assert not sink.after_poll()
    assert not sink.after_poll()
    add(sink, 5)
    sink.flush()  # a checkpoint in between
    assert landed == [[1], [2, 3, 4], [5]]
    sink.flush()
    add(sink, 6)
    assert not sink.after_poll(), "a single record is not taken for none"
    assert not sink.after_poll()
    assert landed[-1] == [6]


def test_an_eager_sink_that_fails_asks_for_the_checkpoint_which_becomes_backpressure():
    attempts = []

    def land(records):
        attempts.append(len(records))
        raise Unavailable("gone")

    sink = EagerSink(SETTINGS, land)
    add(sink, 1)
    assert not sink.after_poll()
    assert sink.after_poll()
    with pytest.raises(SinkBackpressureError):
        sink.flush()
    assert attempts == [1], "not tried twice"
    sink.flush()
    assert sink.pending == 0, "the log has it"


def retraction(artifact) -> Retraction:
    return Retraction(
        artifact_id=artifact.artifact_id,
        modality=artifact.modality,
        conversation_id=artifact.conversation_id,
        subject_id=artifact.subject_id,
        stamps=artifact.stamps,
        provenance=artifact.provenance,
        reason="test",
    )


def derived_by_a_run(artifact, derivation):
    origin = artifact.provenance.model_copy(update={"derivation": derivation})
    return artifact.model_copy(update={"provenance": origin, "text": "made anew"})


def test_the_highest_version_of_an_id_wins_in_whatever_order_and_a_retraction_wins_a_tie():
    first = passage(message(chat(0), position()))
    again = passage(message(chat(0), position(1)), text="better")
    run = derived_by_a_run(first, 1_785_578_400_000)
    other = passage(message(chat(1), position()))
    for batch, newest in (
        ([first, again], again),
        ([first, run], run),
        ([run, again], again),
        ([first, retraction(first)], retraction(first)),
        ([run, retraction(first)], run),
        ([retraction(run), run, first], retraction(run)),
    ):
        for order in (batch, batch[::-1]):
            passages, retractions = newest_per_id(order)
            assert [*passages, *retractions] == [newest]
    assert newest_per_id([retraction(first), again, other]) == ([again, other], [])


class Picky:
    """Refuses passages that say so, and with them the whole batch that they are in, as Chroma does."""

    def __init__(self) -> None:
        self.stored: list[str] = []

    def upsert(self, passages, indexed_at):
        assert indexed_at.tzinfo is not None
        if any("refuse" in each.text for each in passages):
            raise Rejected("vector of another length")
        self.stored += [each.artifact_id for each in passages]

    def retract(self, retractions, now):
        assert (retractions, now.tzinfo is not None) == ([], True)


def test_a_passage_that_the_index_refuses_is_named_and_its_neighbours_land():
    batch = [passage(message(chat(n), position(n)), text="refuse" if n == 3 else "fine") for n in range(7)]
    records = [
        ConsumedRecord(position(n), encode(each), NOW, headers=output_headers(each, PSEUDONYMS))
        for n, each in enumerate(batch)
    ]
    index = Picky()
    rows = [PendingRow(each, record) for each, record in zip(batch, records, strict=True)]
    [letter] = write_bucket(index, WorkerStatus("index"), rows)
    assert (letter.position.offset, letter.reason) == (3, "vector of another length")
    assert sorted(index.stored) == sorted(each.artifact_id for n, each in enumerate(batch) if n != 3)


def test_messages_are_not_indexed():
    assert newest_per_id([message(chat(0), position())]) == ([], [])


def test_artifacts_that_do_not_parse_are_dead_letters():
    good = message(chat(0), position())
    records = [ConsumedRecord(position(n), value, NOW) for n, value in enumerate((encode(good), b"nonsense", None))]
    rows = PendingRows()
    for record in records:
        rows.add(record)
    assert rows.buckets == {}, "a message is not indexed"
    assert [letter.position.offset for letter in rows.dead_letters] == [1, 2]


def test_every_part_of_an_outcome_goes_to_its_topic_under_its_conversation():
    source = message(chat(0), position())
    letter = DeadLetter(position=position(9), reason="r", size=0, value_sha256="0" * 64, dead_at=NOW)
    quarantined = quarantine(arrival(chat(1)), contract="raw_chats", reasons=("no",))
    outcome = Outcome(artifacts=(source,), quarantined=(quarantined,), dead_letters=(letter,))
    assert [(out.topic, out.key) for out in outgoing_records(outcome, PSEUDONYMS)] == [
        ("artifacts", "default//conv-1"),
        ("quarantine", "default//conv-1"),
        ("dead-letters", "interactions.chat/0/9"),
    ]


def test_an_artifact_that_no_broker_takes_is_set_aside_and_its_neighbours_go_on():
    large = message(chat(0), position(), text="x" * (MAX_RECORD_BYTES + 1))
    small = message(chat(1), position(1))
    found = list(outgoing_records(Outcome(artifacts=(large, small)), PSEUDONYMS))
    assert [out.topic for out in found] == ["quarantine", "artifacts"]
    assert all(len(out.value) < MAX_RECORD_BYTES for out in found)
    assert b"over the 900000 that fit" in found[0].value


def test_a_gap_ends_on_the_log_that_gateways_follow_and_without_a_tail_when_the_store_has_acknowledged():
    old = passage(message(chat(0, event_time=NOW - timedelta(hours=1)), position()))
    logged_at = old.stamps.derived_at + timedelta(seconds=2)
    old = old.model_copy(update={"stamps": old.stamps.model_copy(update={"logged_at": logged_at})})
    gaps = {}
    for has_tail in (True, False):
        tracker = FreshnessTracker(has_tail=has_tail)
        status = WorkerStatus("index", freshness=tracker)
        record_freshness(status, [old])
        gaps[has_tail] = tracker.summary()["chat"]
        [bucket] = status.buckets.as_json().values()
        assert bucket["gap"]["p50"] > 3700, "a landing is one of the index"
    assert gaps[True].gap.p50 == (logged_at - old.stamps.event_time).total_seconds()
    assert (list(gaps[True].stages)[-1], gaps[True].stages["publish"].p50) == ("publish", 2.0)
    assert gaps[False].gap.p50 > gaps[True].gap.p50
    assert list(gaps[False].stages)[-1] == "index"
