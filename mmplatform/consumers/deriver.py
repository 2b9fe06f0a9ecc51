"""Derivers. Chats and screenshots are derived by the micro-batch; chats and calls are folds whose state Quix stores.

The state (pointers, never audio or a text) is in Quix's store and its changelog topic. So another worker that takes the
topic partition over continues in the middle of an utterance, or of a conversation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from quixstreams import State, message_context

from mmplatform.consumers.batch_sink import EagerSink, consumed_record, log_position
from mmplatform.consumers.call_checkpoint import CallCheckpoint
from mmplatform.consumers.changelog_guard import guard_changelog
from mmplatform.consumers.chat_state import LoggedEvents, QuixChatStore
from mmplatform.consumers.ledger_fill import fill_ledger
from mmplatform.consumers.open_calls import STATE_KEY, OpenCalls
from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.consumers.quix_app import WorkerApplication, open_app, open_topic
from mmplatform.consumers.retry_until_available import RetryUntilAvailable
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState, restore_state
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_fold import ChatFold
from mmplatform.derive.chat_memory import ChatMemory
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, CallChunk, CallEnd, decode_event
from mmplatform.kafka.headers import derive_key, open_pseudonyms
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import (
    ARTIFACTS_TOPIC,
    CALL,
    CHAT_CHANGE,
    DEAD_LETTERS_TOPIC,
    QUARANTINE_TOPIC,
    SHED,
    ModalitySpec,
)
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.pipeline.process import (
    BatchDeriver,
    Outcome,
    contract_limits,
    dead_letter,
    parse,
    process,
    process_call_record,
)
from mmplatform.pipeline.publish import OutgoingRecord, outgoing_records, publish
from mmplatform.pipeline.shedding import split_shed
from mmplatform.refusals import Quarantined
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import WorkerStatus

_log = structlog.get_logger(__name__)
CALL_COMMIT_INTERVAL_S: Final = 1.0
"""A checkpoint writes the state of each call once, however many chunks it had. Artifacts do not wait for it: they are
produced when they are derived."""


def batch_app(
    settings: Settings,
    spec: ModalitySpec,
    deriver: BatchDeriver,
    producer: LogProducer,
    status: WorkerStatus,
    reporter: ProgressReporter,
) -> WorkerApplication:
    """Chats or screenshots: derive each micro-batch and publish it before its offsets are committed.

    Nothing waits for a clock: a micro-batch is what came while the one before it was derived.
    """
    limits = contract_limits(settings)
    ledger, log = IdentityLedger(), ReplayLog(settings)
    begin: Callable[[], object] = int
    sweep: Callable[[], object] = int

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        begin()
        fill_ledger(ledger, log, settings, [record.position for record in records])
        outcome = process(records, deriver, spec, limits, ledger)
        publish(outcome, producer, settings)
        sweep()
        reporter.note_done(records)
        record_outcome(status, outcome, len(records), started)

    # A micro-batch is published as a whole: where an event takes a second, the first must not wait for the last. So in
    # the stream a captioner gets one image at a time; only a reprocessing run passes more. For captions from OCR and
    # layout a batch saves nothing; a transformers model on a GPU would benefit from batches.
    commit_every = settings.derive_max_batch_size if spec.cost_class == "text" else 1
    app = open_app(
        settings,
        group=spec.group,
        topics=(spec.topic,),
        commit_interval_s=settings.derive_commit_interval_s,
        commit_every=commit_every,
        readiness=status.readiness,
    )
    app.on_rebalance = ledger.clear
    app.on_assigned = reporter.assign
    sink = EagerSink(settings, land, status.readiness)
    app.pace_by(sink)
    frame = app.dataframe(open_topic(app, settings, spec.topic))
    if isinstance(deriver, ChatDeriver):
        frame.register_store()
        guard_changelog(app, settings, lambda record, reason: _publish_dead_letter(record, reason, producer, settings))
        store = QuixChatStore(app, frame.stream_id)
        key = derive_key(settings, "chat-memory")
        deriver = ChatFold(deriver, ChatMemory(store, LoggedEvents(log, settings), key=key))
        begin, sweep = store.begin, store.sweep
    frame.sink(sink)
    return app


def _publish_dead_letter(record: ConsumedRecord, reason: str, producer: LogProducer, settings: Settings) -> None:
    publish(Outcome(dead_letters=(dead_letter(record, reason),)), producer, settings)


def call_app(
    settings: Settings, deriver: CallDeriver, producer: LogProducer, status: WorkerStatus, reporter: ProgressReporter
) -> WorkerApplication:
    """Calls: one fold step per event; its artifacts are produced, and its state stored, by one checkpoint."""
    app = open_app(
        settings,
        group=CALL.group,
        topics=(CALL.topic,),
        commit_interval_s=max(settings.derive_commit_interval_s, CALL_COMMIT_INTERVAL_S),
        commit_every=settings.derive_max_batch_size,
        readiness=status.readiness,
    )
    source = open_topic(app, settings, CALL.topic)
    targets = {
        topic: open_topic(app, settings, topic) for topic in (ARTIFACTS_TOPIC, QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC)
    }

    retry = RetryUntilAvailable(settings, status.readiness)

    def publish_dead_letter(record: ConsumedRecord, reason: str) -> None:
        retry(publish, Outcome(dead_letters=(dead_letter(record, reason),)), producer, settings)

    ledger, log = IdentityLedger(), ReplayLog(settings)
    app.on_rebalance = ledger.clear
    checkpoint = CallCheckpoint(app, reporter, OpenCalls(open_pseudonyms(settings), settings.tenant))

    def is_foldable(value: Any, key: Any, timestamp: int, headers: Any) -> bool:
        """Filter of the fold's input; a record that it drops becomes a dead letter or a quarantine row.

        State is stored by key: a foreign client may omit the key, or write one call under the key of another.
        """
        record, started = _consumed_record(settings, value, timestamp, headers), time.perf_counter()
        checkpoint.note_record(record)
        outcome = Outcome()
        if not key or _conversation_key(value) not in {None, key}:
            reason = "a call's record whose key is not that of its conversation"
            outcome = Outcome(dead_letters=(dead_letter(record, reason),))
        else:
            retry(fill_ledger, ledger, log, settings, [record.position])
            outcome = refuse_call_record(record, ledger)
        if outcome == Outcome():
            return True
        retry(publish, outcome, producer, settings)
        record_outcome(status, outcome, 1, started)
        return False

    guard_changelog(app, settings, publish_dead_letter)

    step = StoredCallFold(settings, deriver, status, retry, checkpoint.open_calls)
    frame = app.dataframe(source)
    frame = frame.filter(is_foldable, metadata=True)
    frame = frame.apply(step, stateful=True, expand=True, metadata=True)
    for topic, target in targets.items():
        branch = frame.filter(_is_for_topic(topic))
        branch = branch.set_headers(lambda out, _key, _timestamp, _headers: list(out.headers.items()))
        branch.apply(lambda out: out.value).to_topic(target)
    return app


def refuse_call_record(record: ConsumedRecord, ledger: IdentityLedger) -> Outcome:
    """Quarantine a conflict or a shed record of a call; an empty outcome for a record to fold."""
    arrivals, dead = parse([record], CALL)
    if dead:  # the fold reports it
        return Outcome()
    arrivals, conflicts = ledger.split_conflicts(arrivals)
    _, shed = split_shed(arrivals, [record])
    return Outcome(quarantined=(*conflicts, *shed))


def _conversation_key(value: bytes | None) -> bytes | None:
    """Key of an event's conversation; None when it does not parse, which the pipeline reports."""
    try:
        return decode_event(value).conversation_key.encode()
    except Rejected:
        return None


class StoredCallFold:
    """Applies one event of a call to the state that Quix stores for its key."""

    def __init__(
        self,
        settings: Settings,
        deriver: CallDeriver,
        status: WorkerStatus,
        retry: RetryUntilAvailable | None = None,
        open_calls: OpenCalls | None = None,
    ) -> None:
        self._settings = settings
        self._deriver = deriver
        self._status = status
        self._limits = contract_limits(settings)
        self._pseudonyms = open_pseudonyms(settings)
        self._retry = retry or RetryUntilAvailable(settings, status.readiness)
        self._open_calls = open_calls or OpenCalls(self._pseudonyms, settings.tenant)

    def __call__(
        self,
        value: Any,
        key: Any,
        timestamp: int,
        headers: Any,
        state: State[str, Any],
    ) -> list[OutgoingRecord]:
        """Apply one record; the list is empty in the middle of an utterance."""
        started = time.perf_counter()
        record = _consumed_record(self._settings, value, timestamp, headers)
        outcome, after = self._retry(self._advance, record, state.get(STATE_KEY))
        if after is not None:
            state.set(STATE_KEY, after.model_dump(mode="json"))
            self._open_calls.note(record.position.topic_partition, key.decode(errors="replace"), after)
        record_outcome(self._status, outcome, 1, started)
        return list(outgoing_records(outcome, self._pseudonyms))

    def _advance(self, record: ConsumedRecord, before: Any) -> tuple[Outcome, CallState | None]:
        """State and outcome are produced together; when this raises, neither is."""
        states: list[CallState] = []

        def fold(arrival: Arrival[Any]) -> DerivedBatch:
            state = self._restored_state(before, arrival.event) if before is not None else None
            after, derived = self._deriver.advance(state, arrival)
            states.append(after)
            return derived

        outcome = process_call_record(record, fold, CALL, self._limits)
        return outcome, states[-1] if states else None

    @staticmethod
    def _restored_state(before: Any, event: CallChunk | CallEnd) -> CallState:
        state, problem = restore_state(before, event)
        if problem:
            _log.warning(
                "call state reset: the stored state does not parse, and its open audio is marked as a gap",
                call_id=event.conversation_id,
                wrong=problem,
            )
        return state


def record_outcome(status: WorkerStatus, outcome: Outcome, records: int, started: float) -> None:
    """Record the outcome in the worker's metrics; log quarantined events and dead letters too.

    Shed events are not logged: there are thousands of them, and their ids are in quarantine.
    """
    rows = [row for row in outcome.quarantined if isinstance(row, Quarantined)]
    quarantined = [row for row in rows if row.contract != SHED]
    changes = sum(row.contract == CHAT_CHANGE for row in rows)
    status.record_batch(
        records,
        time.perf_counter() - started,
        artifacts=len(outcome.artifacts),
        quarantined=len(quarantined),
        shed=len(rows) - len(quarantined),
        dead_letters=len(outcome.dead_letters),
        chat_changes=changes,
        released=len(outcome.quarantined) - len(rows),
    )
    if quarantined or outcome.dead_letters:
        _log.warning(
            "records refused",
            quarantined=[row.event_id for row in quarantined],
            reasons=sorted({reason for row in quarantined for reason in row.reasons}),
            dead_letters=len(outcome.dead_letters),
        )


def _is_for_topic(topic: str) -> Callable[[OutgoingRecord], bool]:
    return lambda out: out.topic == topic


def _consumed_record(settings: Settings, value: Any, timestamp: int, headers: Any) -> ConsumedRecord:
    context = message_context()
    position = log_position(settings, context.topic, context.partition, context.offset)
    return consumed_record(position, value, timestamp, headers)
