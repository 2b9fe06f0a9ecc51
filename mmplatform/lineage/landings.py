"""OpenLineage run events of the stream's landings, and of the worker's run that contains them.

The archiver reports the rows that it is about to land and the commit; they become a START, and a COMPLETE or a FAIL.
The stream's thread only counts rows: the emitter's thread builds and sends the events.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from openlineage.client.event_v2 import InputDataset, Job, RunEvent, RunState

from mmplatform.events import Position, utc_now
from mmplatform.lineage import facets, names
from mmplatform.lineage.columns import COLUMN_SOURCES
from mmplatform.lineage.datasets import Assertion, Datasets, WriteStatistics
from mmplatform.lineage.offsets import OffsetSpan
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, SHED, TABLE_BY_ARTIFACT_KIND, TABLES
from mmplatform.settings import Settings

_INTEGRATION: Final = "MMPLATFORM"
_WORKER_PATH: Final = "mmplatform/worker.py"
_LANDING_PATH: Final = "mmplatform/consumers/archiver.py"

Row = Mapping[str, Any]
BrokenContracts = Mapping[tuple[str, str], int]
"""Quarantined rows, by the table whose contract they broke and the reason."""


class EventSink(Protocol):
    """Accepts events, each as the function that builds it. Must neither block nor raise."""

    def emit(self, build: Callable[[], RunEvent]) -> None:
        """Send the event later, or count it as dropped."""


class CommitStatistics(Protocol):
    """Statistics of one commit."""

    @property
    def rows(self) -> int:
        """New rows."""

    @property
    def size(self) -> int:
        """Bytes of their files."""

    @property
    def files(self) -> int:
        """Number of files."""

    @property
    def snapshot_id(self) -> int | None:
        """Iceberg's snapshot; ``None`` when there were no new rows."""

    @property
    def location(self) -> str:
        """The table's folder."""


@dataclass(frozen=True, slots=True)
class LandingRun:
    """A landing of rows in one table, counted before it starts.

    Attributes:
        spans_by_topic: the offsets of each topic, by topic and topic partition.
        sources: the source tables of the rows.
        broken: for ``quarantine``, the broken contracts of other tables.
    """

    run_id: str
    table: str
    started_at: datetime
    spans_by_topic: Mapping[str, Mapping[int, OffsetSpan]]
    sources: tuple[str, ...]
    broken: BrokenContracts


def landing_run(table: str, rows: Sequence[tuple[Position, Row]]) -> LandingRun:
    """Count a landing's rows."""
    spans: dict[str, dict[int, OffsetSpan]] = defaultdict(dict)
    for position, _ in rows:
        span = spans[position.topic].get(position.topic_partition)
        wider = span.including(position.offset) if span else OffsetSpan(position.offset, position.offset)
        spans[position.topic][position.topic_partition] = wider
    records = [row for _, row in rows]
    broken = _count_broken(records) if table == QUARANTINE_TABLE else {}
    return LandingRun(str(uuid.uuid4()), table, utc_now(), spans, _source_tables(table, records), broken)


def _source_tables(table: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """The source tables of these rows: passages of chats come from messages alone."""
    if table == PASSAGES_TABLE:
        tables = {TABLE_BY_ARTIFACT_KIND.get(row["source_kind"]) for row in rows}
    elif table == QUARANTINE_TABLE:
        tables = {MODALITIES[row["modality"]].raw_table for row in rows}
    else:
        tables = set(COLUMN_SOURCES.get(table, {}))
    return tuple(sorted(table_name for table_name in tables if table_name))


def _count_broken(rows: Sequence[Row]) -> BrokenContracts:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        # A deriver quarantines under its own name: then the contract of the raw table counts as broken.
        table = row["contract"] if row["contract"] in TABLES else MODALITIES[row["modality"]].raw_table
        prefix = f"{SHED}: " if row["contract"] == SHED else ""
        counts.update((table, f"{prefix}{reason}") for reason in row["reasons"])
    return counts


def _write_statistics(commits: Sequence[CommitStatistics]) -> WriteStatistics:
    if not commits:
        return WriteStatistics()
    last = commits[-1]
    version = str(last.snapshot_id) if last.snapshot_id is not None else ""
    return WriteStatistics(last.rows, last.size, last.files, version, last.location)


class StreamLineage:
    """Emits lineage of one archiver run and of each landing in it. Its methods neither block nor raise."""

    def __init__(
        self, settings: Settings, columns: Mapping[str, Sequence[tuple[str, str]]], emitter: EventSink, engine: str
    ) -> None:
        """``columns`` are those of each table; ``engine`` is the version of Quix Streams."""
        self._settings = settings
        self._columns = columns
        self._datasets = Datasets(settings, columns)
        self._emitter = emitter
        self._run_id = str(uuid.uuid4())
        self._code_version = facets.own_code_version()
        self._engine = facets.engine("Quix Streams", engine)

    def begin(self) -> None:
        """The worker starts."""
        started_at = utc_now()
        self._emitter.emit(lambda: self._worker_event(RunState.START, started_at))

    def end(self, error: BaseException | None = None) -> None:
        """The worker stops, after an error or a signal."""
        ended_at, state = utc_now(), RunState.COMPLETE if error is None else RunState.FAIL
        failure = "" if error is None else facets.safe_error_message(error)
        self._emitter.emit(lambda: self._worker_event(state, ended_at, failure))

    @contextmanager
    def landing(self, table: str, rows: Sequence[tuple[Position, Row]]) -> Iterator[Callable[[CommitStatistics], None]]:
        """Start a landing; call the yielded function with each commit. An error ends the landing as failed."""
        landing = landing_run(table, rows)
        commits: list[CommitStatistics] = []
        self._emitter.emit(lambda: self._landing_event(landing, RunState.START, landing.started_at))
        try:
            yield commits.append
        except BaseException as error:
            ended_at, failure = utc_now(), facets.safe_error_message(error)
            self._emitter.emit(lambda: self._landing_event(landing, RunState.FAIL, ended_at, failure=failure))
            raise
        ended_at, written = utc_now(), _write_statistics(commits)
        self._emitter.emit(lambda: self._landing_event(landing, RunState.COMPLETE, ended_at, written))

    def _landing_event(
        self,
        landing: LandingRun,
        state: RunState,
        event_time: datetime,
        written: WriteStatistics | None = None,
        failure: str = "",
    ) -> RunEvent:
        run = facets.parent(self._run_id, self._name()) | self._engine | facets.error(failure)
        job = self._job("LANDING", "BATCH", _LANDING_PATH, landing.table)
        output = self._datasets.output_dataset(landing.table, landing.sources, written)
        return facets.run_event(state, event_time, landing.run_id, job, run, self._inputs(landing), [output])

    def _inputs(self, landing: LandingRun) -> list[InputDataset]:
        """The topics that were read, then the source tables, to which column lineage refers."""
        assertions: dict[str, list[Assertion]] = defaultdict(list)
        for (table, reason), rows in sorted(landing.broken.items()):
            assertions[table].append(self._assertion(table, reason, rows))
        topics = [self._datasets.topic_dataset(topic, spans) for topic, spans in sorted(landing.spans_by_topic.items())]
        tables = [
            self._datasets.input_dataset(name, assertions[name]) for name in sorted({*landing.sources, *assertions})
        ]
        return [*topics, *tables]

    def _assertion(self, table: str, reason: str, rows: int) -> Assertion:
        """A contract's reason is ``column: rule``; a deriver's reason is about an event, not a column."""
        column, separator, rule = reason.partition(": ")
        of_column = bool(separator) and column in dict(self._columns.get(table, ()))
        return Assertion(
            rule=rule if of_column else SHED if column == SHED else "derivable",
            passed=False,
            column=column if of_column else None,
            severity="error",
            name=reason,
            expected="0 rows quarantined",
            actual=f"{rows} rows quarantined",
        )

    def _worker_event(self, state: RunState, event_time: datetime, failure: str = "") -> RunEvent:
        job = self._job("WORKER", "STREAMING", _WORKER_PATH)
        return facets.run_event(state, event_time, self._run_id, job, self._engine | facets.error(failure))

    def _job(self, kind: str, processing: facets.ProcessingType, path: str, *parts: str) -> Job:
        return facets.job(
            self._name(*parts),
            kind=kind,
            processing=processing,
            integration=_INTEGRATION,
            code_version=self._code_version,
            path=path,
        )

    def _name(self, *parts: str) -> names.LineageName:
        return names.job(self._settings, names.ARCHIVE_JOB, *parts)
