"""Checkpoint of the call deriver: reports progress once everything that was processed is committed."""

from __future__ import annotations

from mmplatform.consumers.open_calls import OpenCalls
from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.consumers.quix_app import WorkerApplication
from mmplatform.pipeline.consumed_record import ConsumedRecord


class CallCheckpoint:
    """Collects the records since the last checkpoint, and the calls being spoken behind them. For the worker's thread.

    Quix produces a call's artifacts as they are derived, and waits for their acknowledgements at the checkpoint: before
    it, no record counts as done.
    """

    def __init__(self, app: WorkerApplication, reporter: ProgressReporter, open_calls: OpenCalls) -> None:
        self._app = app
        self._reporter = reporter
        self.open_calls = open_calls
        self._last: dict[int, ConsumedRecord] = {}
        app.on_assigned = self._assign
        app.on_checkpoint = self._report

    def note_record(self, record: ConsumedRecord) -> None:
        """Note a record that is being processed."""
        self._last[record.position.topic_partition] = record

    def _assign(self, topic_partitions: frozenset[int]) -> None:
        self._last = {}
        self.open_calls.restore(self._app, topic_partitions)
        self._reporter.assign(topic_partitions, self.open_calls.by_topic_partition())

    def _report(self) -> None:
        records, self._last = list(self._last.values()), {}
        if records:
            self._reporter.note_done(records, self.open_calls.by_topic_partition())
