"""Derivers. Chats and screenshots are derived by the micro-batch; a call is a fold whose state Quix stores.

The call's state (pointers, never audio) is in Quix's store and its changelog topic. So another worker that takes the
topic partition over continues in the middle of an utterance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import structlog
from quixstreams import State, message_context
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from mmplatform.consumers.changelog_guard import guard_changelog
from mmplatform.consumers.publish import OutgoingRecord, outgoing_records, publish
from mmplatform.consumers.quix_app import BatchSink, WorkerApplication, open_app, open_topic, strip_topic_prefix
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState, restore_state
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Busy, Rejected, Unavailable
from mmplatform.events import Arrival, CallChunk, CallEnd, Position, decode_event, utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.modalities import ARTIFACTS_TOPIC, CALL, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC, SHED, ModalitySpec
from mmplatform.pipeline.process import (
    BatchDeriver,
    ConsumedRecord,
    Outcome,
    contract_limits,
    dead_letter,
    parse,
    parse_shed_header,
    process,
    process_call_record,
    split_shed,
)
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import STORE, Readiness
from mmplatform.telemetry.status_server import WorkerStatus

_log = structlog.get_logger(__name__)
_STATE_KEY: Final = "call"
P = ParamSpec("P")
R = TypeVar("R")


def batch_app(
    settings: Settings, spec: ModalitySpec, deriver: BatchDeriver, producer: LogProducer, status: WorkerStatus
) -> WorkerApplication:
    """Chats or screenshots: derive each micro-batch and publish it before its offsets are committed."""
    limits = contract_limits(settings)

    def land(records: list[ConsumedRecord]) -> None:
        started = time.perf_counter()
        outcome = process(records, deriver, spec, limits)
        publish(outcome, producer, settings)
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
    app.dataframe(open_topic(app, settings, spec.topic)).sink(BatchSink(settings, land, status.readiness))
    return app


def call_app(
    settings: Settings, deriver: CallDeriver, producer: LogProducer, status: WorkerStatus
) -> WorkerApplication:
    """Calls: one fold step per event; its artifacts are produced, and its state stored, by one checkpoint."""
    app = open_app(
        settings,
        group=CALL.group,
        topics=(CALL.topic,),
        commit_interval_s=settings.derive_commit_interval_s,
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

    def is_foldable(value: Any, key: Any, timestamp: int, headers: Any) -> bool:  # noqa: ARG001 - Quix's contract
        """Filter of the fold's input; a record that it drops becomes a dead letter or a quarantine row.

        State is stored by key: a foreign client may omit the key, or write one call under the key of another.
        """
        record, started = _consumed_record(settings, value, headers), time.perf_counter()
        outcome = Outcome()
        if not key or _conversation_key(value) not in {None, key}:
            reason = "a call's record whose key is not its conversation_id"
            outcome = Outcome(dead_letters=(dead_letter(record, reason),))
        elif record.shed_reasons:
            arrivals, dead = parse([record], CALL)
            outcome = Outcome(quarantined=tuple(split_shed(arrivals, [record])[1]), dead_letters=tuple(dead))
        if outcome == Outcome():
            return True
        retry(publish, outcome, producer, settings)
        record_outcome(status, outcome, 1, started)
        return False

    guard_changelog(app, settings, publish_dead_letter)

    step = StoredCallFold(settings, deriver, status, retry)
    frame = app.dataframe(source)
    frame = frame.filter(is_foldable, metadata=True)
    frame = frame.apply(step, stateful=True, expand=True)
    for topic, target in targets.items():
        branch = frame.filter(_is_for_topic(topic))
        branch.apply(lambda out: out.value).to_topic(target)
    return app


def _conversation_key(value: bytes | None) -> bytes | None:
    """Conversation id of an event; None when it does not parse, which the pipeline reports."""
    try:
        return decode_event(value).conversation_id.encode()
    except Rejected:
        return None


class RetryUntilAvailable:
    """Retries a call while a store or the broker does not answer, and blocks readiness meanwhile.

    A function that Quix calls per record has no sink with backpressure: an error that it raises ends the worker.
    """

    def __init__(self, settings: Settings, readiness: Readiness) -> None:
        self._readiness = readiness
        # Long enough for a store to recover, short enough that Kafka does not revoke the topic partitions.
        self._retrying = Retrying(
            retry=retry_if_exception_type((Unavailable, Busy)),
            wait=wait_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(settings.kafka_max_poll_interval_s / 2),
            before_sleep=self._report_wait,
            reraise=True,
        )

    def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the call's result. Raises Unavailable or Busy after half of ``kafka_max_poll_interval_s``."""
        result = self._retrying(call, *args, **kwargs)
        self._readiness.unblock(STORE)
        return result

    def _report_wait(self, state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        self._readiness.block(STORE, f"unavailable: {reason}")


class StoredCallFold:
    """Applies one event of a call to the state that Quix stores for its key."""

    def __init__(
        self, settings: Settings, deriver: CallDeriver, status: WorkerStatus, retry: RetryUntilAvailable | None = None
    ) -> None:
        self._settings = settings
        self._deriver = deriver
        self._status = status
        self._limits = contract_limits(settings)
        self._retry = retry or RetryUntilAvailable(settings, status.readiness)

    def __call__(self, value: Any, state: State[str, Any]) -> list[OutgoingRecord]:
        """Apply one record; the list is empty in the middle of an utterance."""
        started = time.perf_counter()
        outcome, after = self._retry(self._advance, _consumed_record(self._settings, value), state.get(_STATE_KEY))
        if after is not None:
            state.set(_STATE_KEY, after)
        record_outcome(self._status, outcome, 1, started)
        return list(outgoing_records(outcome))

    def _advance(self, record: ConsumedRecord, before: Any) -> tuple[Outcome, Any]:
        """State and outcome are produced together; when this raises, neither is."""
        states: list[CallState] = []

        def fold(arrival: Arrival[Any]) -> DerivedBatch:
            state = self._restored_state(before, arrival.event) if before is not None else None
            after, derived = self._deriver.advance(state, arrival)
            states.append(after)
            return derived

        outcome = process_call_record(record, fold, CALL, self._limits)
        return outcome, states[-1].model_dump(mode="json") if states else None

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
    quarantined = [row for row in outcome.quarantined if row.contract != SHED]
    status.record_batch(
        records,
        time.perf_counter() - started,
        artifacts=len(outcome.artifacts),
        quarantined=len(quarantined),
        shed=len(outcome.quarantined) - len(quarantined),
        dead_letters=len(outcome.dead_letters),
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


def _consumed_record(settings: Settings, value: Any, headers: Any = None) -> ConsumedRecord:
    context = message_context()
    position = Position(
        topic=strip_topic_prefix(settings, context.topic), topic_partition=context.partition, offset=context.offset
    )
    return ConsumedRecord(position, value, utc_now(), parse_shed_header(headers))
