"""An hour derived again: equal to what the stream made of it, replaced where it is not, never in the stream's way."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from mmplatform.artifacts import decode_artifact
from mmplatform.derive.chat import NO_SPANS, ChatDeriver
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import encode
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CHAT, QUARANTINE_TABLE
from mmplatform.pipeline.process import Outcome, process
from mmplatform.pipeline.reprocess.inputs import ReprocessInputs, open_inputs, override_models
from mmplatform.pipeline.reprocess.reprocess import parse_hour, reprocess
from mmplatform.settings import load
from mmplatform.versions import Version
from quality.contracts import ContractLimits
from tests.builders import NOW, chat
from tests.consumers.lost_store import completed_by
from tests.pipeline.stream import Published, Stream

pytestmark = pytest.mark.models
STAMPS = {
    "taken_at",
    "derived_at",
    "quarantined_at",
    "seconds",
    "memo_hit",
    "record",
    "topic",
    "topic_partition",
    "log_offset",
    "logged_at",
    "version",
}
LOOSE = {"stamps", "provenance", "quarantined_at", "derivation", "source_seconds"}
LONG = " ".join(f"Parcel number {n} has not come, although it was promised for Monday." for n in range(40))


def at(**since):
    """Event time and ingestion time."""
    moment = NOW + timedelta(**since)
    return {"event_time": moment, "ingested_at": moment + timedelta(milliseconds=50)}


EVENTS = [
    chat(0, text="my mail is dana@example.com, please call"),
    chat(1, text=LONG, subject_id="cust-2"),
    chat(2, text=" "),
    chat(3, text="and where is my refund?", **at(minutes=59)),
    chat(4, text="an hour later", **at(hours=1)),
]


class Terse(ChatDeriver):
    """Drops all passages but the first."""

    def derive(self, arrivals, joint_spans=NO_SPANS):
        found = super().derive(arrivals, joint_spans)
        return DerivedBatch(
            tuple(a for a in found.artifacts if a.kind != "passage" or a.ordinal == 0), found.quarantined
        )


class Other(ChatDeriver):
    """Another version, that shouts."""

    def derive(self, arrivals, joint_spans=NO_SPANS):
        loud = [
            a.model_copy(update={"text": a.text.upper(), "provenance": _by(a.provenance, "9")})
            for a in super().derive(arrivals, joint_spans).artifacts
        ]
        return DerivedBatch(tuple(loud))


def _by(provenance, version):
    return provenance.model_copy(update={"deriver_version": version})


class World:
    def __init__(self, lakehouse, index, dual_write_index, embedder, redactor):
        self.lakehouse, self.index, self.dual_write_index, self.memo = lakehouse, index, dual_write_index, MemoryMemo()
        self.models = (embedder, redactor, self.memo)
        self.stream = Stream(lakehouse, dual_write_index)

    def run(self, kind=ChatDeriver, *, lakehouse=None, change_log=None, **how):
        deriver = kind(*self.models)
        parts = ReprocessInputs(
            lakehouse or self.lakehouse, self.index, change_log or self.stream, None, deriver, ContractLimits(), 64
        )
        return reprocess("messages", NOW, parts, **how)

    def rows(self, table, **which):
        found = self.lakehouse.scan(table, **which).to_pylist()
        return sorted(
            (
                {name: value for name, value in row.items() if name not in STAMPS}
                | {f"record.{name}": value for name, value in json.loads(row["record"]).items() if name not in LOOSE}
                for row in found
            ),
            key=lambda row: row["event_time"].isoformat() + str(row.get("artifact_id") or row.get("quarantine_id")),
        )

    def versions(self, table):
        rows = self.lakehouse.scan(table, hour=NOW, columns=("artifact_id", "version")).to_pylist()
        return {row["artifact_id"]: Version.from_sortable(row["version"]) for row in rows}

    def found(self):
        rows = self.index.rows(modality="chat", since=NOW, until=NOW + timedelta(hours=1))
        return {each: text for each, text, _ in rows}

    def snapshots(self):
        return {name: self.lakehouse.table(name).metadata.current_snapshot_id for name in ("messages", "passages")}


@pytest.fixture
def world(lakehouse, index, dual_write_index, embedder, redactor):
    return World(lakehouse, index, dual_write_index, embedder, redactor)


@pytest.fixture
def streamed(world):
    world.stream.send(EVENTS, ChatDeriver(*world.models))
    return world


def test_what_the_stream_made_is_what_the_run_makes(streamed):
    before = {name: streamed.rows(name) for name in ("messages", "passages", QUARANTINE_TABLE)}
    of_stream = streamed.versions("messages")
    assert {version.derivation for version in of_stream.values()} == {0}
    commits, found = streamed.snapshots(), streamed.found()
    summary = streamed.run()
    assert (summary.read, summary.quarantined, summary.changed) == (5, 1, False)
    assert summary.tables["messages"].unchanged == 3
    assert (streamed.snapshots(), streamed.found()) == (commits, found)
    assert len(before["passages"]) > len(before["messages"]) == 4
    # Into stores that hold nothing but the raw rows, it comes to the same, row for row.
    for name in before:
        streamed.lakehouse.table(name).delete(_of_hour())
    streamed.index.delete(list(found))
    again = Lakehouse(streamed.lakehouse._catalog, streamed.lakehouse._namespace)
    summary = streamed.run(lakehouse=again)
    assert summary.tables["messages"].added == 3
    assert {name: streamed.rows(name) for name in before} == before
    assert streamed.found() == found
    of_run = streamed.versions("messages")
    assert {row_id: version[:3] for row_id, version in of_run.items()} == {
        row_id: version[:3] for row_id, version in of_stream.items()
    }
    assert len({version.derivation for version in of_run.values()} - {0}) == 1


def _of_hour():
    from mmplatform.land.lakehouse.arrow import hour_filter

    return hour_filter(NOW)


def test_another_deriver_replaces_and_the_next_run_changes_nothing(streamed):
    later = streamed.rows("messages", hour=NOW + timedelta(hours=1))
    summary = streamed.run(Other)
    assert summary.tables["messages"].replaced == 3
    assert summary.upserted == len(streamed.found())
    assert all(row["text"] == row["text"].upper() for row in streamed.rows("messages", hour=NOW))
    assert all(text == text.upper() for text in streamed.found().values())
    assert streamed.rows("messages", hour=NOW + timedelta(hours=1)) == later
    commits = streamed.snapshots()
    assert streamed.run(Other).changed is False
    assert streamed.snapshots() == commits


def test_the_tables_are_the_same_whether_the_archiver_or_the_run_was_faster(streamed):
    places, published = _places(streamed), Published()
    assert streamed.run(Other, change_log=published).tables["messages"].replaced == 3
    assert _places(streamed) == places, "a row keeps its place on the log while the archiver is behind"
    rows, versions = streamed.rows("messages"), streamed.versions("messages")
    [outcome] = published.outcomes
    streamed.stream.publish(outcome)
    assert (streamed.rows("messages"), streamed.versions("messages")) == (rows, versions)
    assert _places(streamed) == places
    assert all(text == text.upper() for text in streamed.found().values())
    # The archiver is faster: the run finds its own versions there.
    summary = streamed.run()
    assert (summary.tables["messages"].replaced, summary.tables["messages"].overtaken) == (3, 0)
    assert min(_places(streamed).values()) > max(places.values()), "each is the record that the run published"


def _places(world):
    found = world.lakehouse.scan("messages", hour=NOW, columns=["artifact_id", "log_offset"])
    return {row["artifact_id"]: row["log_offset"] for row in found.to_pylist()}


def test_what_is_not_derived_any_more_goes_from_both_stores(streamed):
    before = streamed.found()
    summary = streamed.run(Terse)
    gone = summary.tables["passages"].vanished
    assert gone == summary.deleted >= 1
    assert len(streamed.found()) == len(before) - gone == len(streamed.rows("passages", hour=NOW))
    assert streamed.run(Terse).changed is False


def test_a_message_that_is_quarantined_now_has_no_row_any_more_and_the_other_way_round(streamed):
    class Fussy(ChatDeriver):
        def derive(self, arrivals, joint_spans=NO_SPANS):
            if any("refund" in a.event.text for a in arrivals):
                raise Rejected("nothing about refunds")
            return super().derive(arrivals, joint_spans)

    summary = streamed.run(Fussy)
    assert (summary.tables["messages"].vanished, summary.quarantined) == (1, 2)
    assert {row["event_id"] for row in streamed.rows(QUARANTINE_TABLE)} == {"chat-2", "chat-3"}
    streamed.run()
    assert {row["event_id"] for row in streamed.rows(QUARANTINE_TABLE)} == {"chat-2"}
    assert len(streamed.rows("messages", hour=NOW)) == 3


class Meanwhile:
    """A deriver that lets the stream land something just before the run commits."""

    def __init__(self, inner, then):
        self.inner, self.then, self.name, self.version = inner, then, inner.name, inner.version

    def derive(self, arrivals):
        found = self.inner.derive(arrivals)
        self.then()
        return found


def test_what_the_stream_lands_meanwhile_survives(streamed):
    late = chat(9, text="I come late", **at(minutes=30))
    first = chat(0, text="my mail is dana@example.com, please call")

    def land():
        streamed.stream.send([late], ChatDeriver(*streamed.models))
        streamed.stream.send([first], Terse(*streamed.models))
        rewritten = streamed.lakehouse.scan("messages", hour=NOW).to_pylist()
        [row] = [row for row in rewritten if row["event_ids"] == ["chat-0"]]
        said = decode_artifact(row["record"])
        newer = completed_by(said.model_copy(update={"text": said.text.replace("please call", "PLEASE call")}), 1000)
        streamed.stream.publish(Outcome(artifacts=(newer,)))

    parts = ReprocessInputs(
        Lakehouse(streamed.lakehouse._catalog, streamed.lakehouse._namespace),
        streamed.index,
        streamed.stream,
        None,
        Meanwhile(Other(*streamed.models), land),
        ContractLimits(),
        64,
    )
    summary = reprocess("messages", NOW, parts)
    texts = {row["event_ids"][0]: row["text"] for row in streamed.rows("messages", hour=NOW)}
    assert texts["chat-9"] == "I come late"
    assert "PLEASE call" in texts["chat-0"]
    assert texts["chat-3"] == "AND WHERE IS MY REFUND?"
    assert summary.tables["messages"].overtaken == 1
    assert "I come late" in streamed.found().values()


def test_what_a_run_took_out_comes_back_with_a_later_event_and_not_with_its_old_record(streamed):
    """The archiver's memory of ids is from before the run."""
    artifacts = streamed.stream.send([chat(7, text=LONG)], ChatDeriver(*streamed.models))
    other = Lakehouse(streamed.lakehouse._catalog, streamed.lakehouse._namespace)
    kept = len(streamed.rows("passages", hour=NOW))
    assert streamed.run(Terse, lakehouse=other).tables["passages"].vanished
    terse, found = streamed.rows("passages"), streamed.found()
    values, headers = [each.value for each in artifacts], [each.headers for each in artifacts]
    for place in (streamed.stream, Stream(other, streamed.dual_write_index)):
        again = streamed.stream.records("artifacts", values, headers)
        place.archive(again)
        place.write_index(again)
        assert (streamed.rows("passages"), streamed.found()) == (terse, found)
    streamed.stream.send([chat(7, text=LONG)], ChatDeriver(*streamed.models))
    back = [row for row in streamed.rows("passages", hour=NOW) if row["event_ids"] == ["chat-7"]]
    assert len(back) > 1
    assert len(streamed.rows("passages", hour=NOW)) < kept, "chat-1 did not come again"
    assert len({row["artifact_id"] for row in streamed.rows("passages")}) == len(streamed.rows("passages"))
    assert {row["artifact_id"] for row in back} <= streamed.found().keys()


def test_a_retraction_takes_a_row_that_the_run_made(streamed):
    streamed.lakehouse.table("messages").delete(_of_hour())
    other = Lakehouse(streamed.lakehouse._catalog, streamed.lakehouse._namespace)
    assert streamed.run(lakehouse=other).tables["messages"].added == 3
    gone, derived = next(iter(streamed.versions("messages").items()))
    assert derived.derivation > 0
    other.delete_through("messages", {gone: derived._replace(derivation=0).sortable})
    assert len(streamed.rows("messages", hour=NOW)) == 3, "the retraction is older than the run"
    other.delete_through("messages", {gone: derived.sortable})
    assert len(streamed.rows("messages", hour=NOW)) == 2


class Shy(ChatDeriver):
    """Derives nothing of a refund."""

    def derive(self, arrivals, joint_spans=NO_SPANS):
        return super().derive([each for each in arrivals if "refund" not in each.event.text], joint_spans)


def test_an_artifact_that_was_retracted_comes_back_above_its_retraction_though_the_clock_was_put_back(streamed):
    before, found = streamed.rows("messages"), streamed.found()
    assert streamed.run(Shy).deleted == 1
    retracted = {row["artifact_id"] for row in streamed.lakehouse.scan("retractions").to_pylist()}
    assert len(retracted) == 2
    summary = streamed.run(clock=lambda: NOW + timedelta(hours=2))
    assert (summary.tables["messages"].added, summary.upserted) == (1, 1)
    assert streamed.found() == found
    assert [row["text"] for row in streamed.rows("messages")] == [row["text"] for row in before]
    assert streamed.run(clock=lambda: NOW + timedelta(hours=2)).changed is False


def test_a_row_of_a_repetition_is_replaced_above_its_later_position_and_the_next_run_changes_nothing(streamed):
    """The raw table has the first arrival only, the artifacts and quarantine rows are from the second one."""
    streamed.stream.send([EVENTS[0], EVENTS[2]], ChatDeriver(*streamed.models))
    assert streamed.run().changed is False
    summary = streamed.run(Other)
    assert summary.tables["messages"].replaced == 3
    assert max(version.offset for version in streamed.versions("messages").values()) == len(EVENTS)
    assert streamed.run(Other).changed is False
    assert all(text == text.upper() for text in streamed.found().values())


def test_a_quarantine_row_of_a_repetition_is_released_when_its_event_is_derived(world):
    strict, event = ContractLimits(max_chat_chars=10), chat(1, text="longer than ten characters")
    deriver = ChatDeriver(*world.models)
    for _ in range(2):
        records = world.stream.records(CHAT.topic, [encode(event)])
        world.stream.archive(records)
        world.stream.publish(process(records, deriver, CHAT, strict, world.stream.ledger))
    [version] = world.lakehouse.scan(QUARANTINE_TABLE, columns=("version",))["version"].to_pylist()
    assert Version.from_sortable(version).offset == 1
    assert world.rows("messages") == []
    summary = world.run()
    assert (summary.tables[QUARANTINE_TABLE].vanished, summary.tables["messages"].added) == (1, 1)
    assert world.rows(QUARANTINE_TABLE) == []
    assert world.run().changed is False


def test_rows_whose_events_are_not_in_the_raw_table_are_left(streamed):
    """The archiver may land an artifact before its event, and erased events leave nothing to judge by."""
    from pyiceberg.expressions import EqualTo

    streamed.lakehouse.table("raw_chats").delete(EqualTo("event_id", "chat-3"))
    before = streamed.rows("messages")
    summary = streamed.run()
    assert summary.tables["messages"].left == 1
    assert (streamed.rows("messages"), summary.changed) == (before, False)


def test_a_run_that_ended_before_the_index_is_completed_by_the_next(streamed):
    found = streamed.found()
    streamed.index.delete([next(iter(found))])
    summary = streamed.run()
    assert (summary.upserted, summary.deleted) == (1, 0)
    assert streamed.found() == found


def test_an_empty_hour_gives_a_summary_with_nothing_read(world):
    summary = world.run()
    assert (summary.read, summary.changed, summary.lost) == (0, False, ())


@pytest.mark.parametrize(
    ("hour", "message"),
    [
        (NOW + timedelta(minutes=1), "does not begin an hour"),
        (NOW.replace(tzinfo=None), "does not begin an hour"),
        (NOW + timedelta(hours=2), "has not begun"),
    ],
)
def test_no_hour_that_has_begun_is_refused(hour, message):
    with pytest.raises(Rejected, match=message):
        reprocess("messages", hour, None, clock=lambda: NOW + timedelta(hours=1))


def test_an_hour_is_read_as_dagster_writes_it():
    assert parse_hour("2026-08-01-10:00") == NOW
    with pytest.raises(Rejected, match="no hour"):
        parse_hour("2026-08-01 10:00")


@pytest.mark.parametrize("table", ["passages", "raw_chats", "nothing"])
def test_only_what_a_modality_derives_first_can_be_named(table):
    with pytest.raises(Rejected, match="messages, transcripts, captions"):
        reprocess(table, NOW, None)


def test_an_unknown_model_ends_the_run_before_anything_is_opened(tmp_path):
    settings = load(data_dir=tmp_path / "data")
    with (
        pytest.raises(Misconfigured, match="no model 'nobody'"),
        open_inputs(override_models(settings, CHAT, {"ner_model": "nobody"}), CHAT),
    ):
        pytest.fail("opened")
    assert not (tmp_path / "data" / "lakehouse").exists()
    without_a_broker = settings.model_copy(update={"chroma_url": "http://127.0.0.1:1", "kafka_bootstrap_servers": ""})
    with (
        pytest.raises(Misconfigured, match="start the embedded broker with `mmplatform up`"),
        open_inputs(without_a_broker, CHAT),
    ):
        pytest.fail("opened")
    with (
        pytest.raises(Unavailable, match="broker"),
        open_inputs(without_a_broker.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"}), CHAT),
    ):
        pytest.fail("opened: the run would derive, and could not publish")
    with pytest.raises(Misconfigured, match="made without asr_model"):
        override_models(settings, CHAT, {"asr_model": "whisper-tiny"})


def test_stopped_half_way_it_leaves_nothing_behind(streamed):
    before, commits, found = streamed.rows("messages"), streamed.snapshots(), streamed.found()

    def stop(done, of):
        assert 0 < done <= of
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed.run(Other, progress=stop)
    assert (streamed.rows("messages"), streamed.snapshots(), streamed.found()) == (before, commits, found)


def test_an_index_that_is_away_ends_the_run_before_anything_is_replaced(streamed):
    from mmplatform.land.index.store import ChromaIndex

    commits = streamed.snapshots()
    away = ChromaIndex(load(chroma_url="http://127.0.0.1:1"))
    with pytest.raises(Unavailable):
        reprocess(
            "messages",
            NOW,
            ReprocessInputs(streamed.lakehouse, away, None, None, Other(*streamed.models), ContractLimits(), 64),
        )
    assert streamed.snapshots() == commits
