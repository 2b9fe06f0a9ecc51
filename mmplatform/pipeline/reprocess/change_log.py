"""Change log of a run: whatever it changes lies on the replay log too, for programs that read the log alone.

The indexer is the only writer of the live index: a run that wrote there as well could overwrite what the stream wrote
between its check and its write. So a run publishes, and waits until the indexer is past what it published.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

import structlog

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.publish import publish
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
MAX_STANDSTILL_S: Final = 30.0
"""An indexer that stands still for so long is down, since it does not wait for more records than these; the run is
complete all the same."""

_POLL_S: Final = 0.1


class ChangeLog(Protocol):
    """Takes the changes of a run."""

    def publish(self, outcome: Outcome) -> None:
        """Write the changes to the log, acknowledged on return. Raises Unavailable."""

    def wait_indexed(self) -> bool:
        """Wait until the index has the published changes; False when it makes no progress."""


class ReplayChangeLog:
    """The change log on the replay log."""

    def __init__(self, settings: Settings, producer: LogProducer, log: ReplayLog) -> None:
        self._settings = settings
        self._producer = producer
        self._log = log
        self._topic = topic_name(settings, ARTIFACTS_TOPIC)
        self._ends: dict[int, int] = {}

    def publish(self, outcome: Outcome) -> None:
        """Write the changes to the log. Raises Unavailable, Misconfigured."""
        publish(outcome, self._producer, self._settings, awaited=True)
        watermarks = self._log.watermarks([self._topic])[self._topic]
        self._ends = {number: watermark.high for number, watermark in watermarks.items()}

    def wait_indexed(self) -> bool:
        """Wait until the indexer has committed everything up to the last publication."""
        group = f"{self._settings.topic_prefix}{INDEX_GROUP}"
        best, since = -1, time.monotonic()
        while time.monotonic() - since < MAX_STANDSTILL_S:
            try:
                progress = self._log.progress(group, [self._topic])[self._topic]
            except (Unavailable, Misconfigured) as error:
                _log.warning("the indexer's progress is not known", reason=str(error))
                return False
            if all(progress[number].next_offset >= end for number, end in self._ends.items()):
                return True
            done = sum(partition.next_offset for partition in progress.values())
            if done > best:
                best, since = done, time.monotonic()
            time.sleep(_POLL_S)
        _log.warning("the indexer makes no progress: it will apply the changes when it runs")
        return False
