"""A landing of the stream as OpenLineage run events, and the worker's run that it is a part of.

The archiver says what it is about to land and what became of it; here that is made into a START, and a COMPLETE or a
FAIL. The stream's own thread only counts rows: the events are made, and sent, on the emitter's.
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
from mmplatform.lineage.columns import COMES_FROM
from mmplatform.lineage.datasets import Datasets, Verdict, Written
from mmplatform.lineage.offsets import Span
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, SHED, TABLE_OF_ARTIFACT, TABLES
from mmplatform.settings import Settings

_INTEGRATION: Final = "MMPLATFORM"
_WORKER_PATH: Final = "mmplatform/worker.py"
_LANDING_PATH: Final = "mmplatform/consumers/archiver.py"

Row = Mapping[str, Any]
Broken = Mapping[tuple[str, str], int]
"""Rows that were set aside, by the table whose contract they broke and the reason."""


class Emitter(Protocol):
    """Takes events; must neither wait nor raise. An event comes as what makes it."""

    def emit(self, make: Callable[[], RunEvent]) -> None:
        """Send it some time, or count it as lost."""


class Committed(Protocol):
    """What one commit wrote."""

    @property
    def rows(self) -> int:
        """New rows."""

    @property
    def size(self) -> int:
        """Bytes of their files."""

    @property
    def files(self) -> int:
        """How many files."""

    @property
    def snapshot_id(self) -> int | None:
        """Iceberg's snapshot; ``None`` when nothing was new."""

    @property
    def location(self) -> str:
        """The table's folder."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What a landing is made of, counted before it begins.

    Attributes:
        read: which stretch of each topic, by topic and topic partition.
        sources: the tables that the rows come from.
        broken: what the landing of ``quarantine`` tells of other tables.
    """

    run_id: str
    table: str
    began: datetime
    read: Mapping[str, Mapping[int, Span]]
    sources: tuple[str, ...]
    broken: Broken


def landing_of(table: str, rows: Sequence[tuple[Position, Row]]) -> Landing:
    """Count a landing's rows."""
    read: dict[str, dict[int, Span]] = defaultdict(dict)
    for place, _ in rows:
        span = read[place.topic].get(place.topic_partition)
        wider = span.wider(place.offset) if span else Span(place.offset, place.offset)
        read[place.topic][place.topic_partition] = wider
    each = [row for _, row in rows]
    broken = _broken(each) if table == QUARANTINE_TABLE else {}
    return Landing(str(uuid.uuid4()), table, utc_now(), read, _sources(table, each), broken)


def _sources(table: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """The tables that these very rows come from: passages of chats come from messages alone."""
    if table == PASSAGES_TABLE:
        found = {TABLE_OF_ARTIFACT.get(row["source_kind"]) for row in rows}
    elif table == QUARANTINE_TABLE:
        found = {MODALITIES[row["modality"]].raw_table for row in rows}
    else:
        found = set(COMES_FROM.get(table, {}))
    return tuple(sorted(each for each in found if each))


def _broken(rows: Sequence[Row]) -> Broken:
    found: Counter[tuple[str, str]] = Counter()
    for row in rows:
        # Some are set aside by a deriver, under its own name: then it is the raw event that was no good.
        table = row["contract"] if row["contract"] in TABLES else MODALITIES[row["modality"]].raw_table
        mark = f"{SHED}: " if row["contract"] == SHED else ""
        found.update((table, f"{mark}{reason}") for reason in row["reasons"])
    return found


def _written(told: Sequence[Committed]) -> Written:
    if not told:
        return Written()
    last = told[-1]
    version = str(last.snapshot_id) if last.snapshot_id is not None else ""
    return Written(last.rows, last.size, last.files, version, last.location)


class StreamLineage:
    """Tells of one run of the archiver and of each landing in it. Nothing here waits or raises."""

    def __init__(
        self, settings: Settings, columns: Mapping[str, Sequence[tuple[str, str]]], emitter: Emitter, engine: str
    ) -> None:
        """``columns`` are those of each table; ``engine`` is the version of Quix Streams."""
        self._settings = settings
        self._columns = columns
        self._datasets = Datasets(settings, columns)
        self._emitter = emitter
        self._run_id = str(uuid.uuid4())
        self._source = facets.own_source()
        self._engine = facets.engine("Quix Streams", engine)

    def begin(self) -> None:
        """The worker starts."""
        at = utc_now()
        self._emitter.emit(lambda: self._worker(RunState.START, at))

    def end(self, raised: BaseException | None = None) -> None:
        """The worker stops, because of an error or because it was told to."""
        at, state = utc_now(), RunState.COMPLETE if raised is None else RunState.FAIL
        failure = "" if raised is None else facets.told(raised)
        self._emitter.emit(lambda: self._worker(state, at, failure))

    @contextmanager
    def landing(self, table: str, rows: Sequence[tuple[Position, Row]]) -> Iterator[Callable[[Committed], None]]:
        """One landing, begun here: call what is given with what was written. An error ends it as failed."""
        landing = landing_of(table, rows)
        told: list[Committed] = []
        self._emitter.emit(lambda: self._event(landing, RunState.START, landing.began))
        try:
            yield told.append
        except BaseException as error:
            at, failure = utc_now(), facets.told(error)
            self._emitter.emit(lambda: self._event(landing, RunState.FAIL, at, failure=failure))
            raise
        at, written = utc_now(), _written(told)
        self._emitter.emit(lambda: self._event(landing, RunState.COMPLETE, at, written))

    def _event(
        self,
        landing: Landing,
        state: RunState,
        at: datetime,
        written: Written | None = None,
        failure: str = "",
    ) -> RunEvent:
        run = facets.parent(self._run_id, self._name()) | self._engine | facets.error(failure)
        job = self._job("LANDING", "BATCH", _LANDING_PATH, landing.table)
        output = self._datasets.written(landing.table, landing.sources, written)
        return facets.event(state, at, landing.run_id, job, run, self._inputs(landing), [output])

    def _inputs(self, landing: Landing) -> list[InputDataset]:
        """The topics that were really read, then the tables whose rows these were: column lineage points at those."""
        judged: dict[str, list[Verdict]] = defaultdict(list)
        for (table, reason), rows in sorted(landing.broken.items()):
            judged[table].append(self._verdict(table, reason, rows))
        topics = [self._datasets.topic(topic, spans) for topic, spans in sorted(landing.read.items())]
        tables = [self._datasets.read(name, judged[name]) for name in sorted({*landing.sources, *judged})]
        return [*topics, *tables]

    def _verdict(self, table: str, reason: str, rows: int) -> Verdict:
        """A rule's name is ``column: what must hold``; what a deriver says of an event is no rule of a column."""
        column, separator, rule = reason.partition(": ")
        of_column = bool(separator) and column in dict(self._columns.get(table, ()))
        return Verdict(
            rule=rule if of_column else SHED if column == SHED else "derivable",
            holds=False,
            column=column if of_column else None,
            severity="error",
            name=reason,
            expected="0 rows set aside",
            actual=f"{rows} rows set aside",
        )

    def _worker(self, state: RunState, at: datetime, failure: str = "") -> RunEvent:
        job = self._job("WORKER", "STREAMING", _WORKER_PATH)
        return facets.event(state, at, self._run_id, job, self._engine | facets.error(failure))

    def _job(self, kind: str, processing: facets.Processing, path: str, *parts: str) -> Job:
        return facets.job(
            self._name(*parts),
            kind=kind,
            processing=processing,
            integration=_INTEGRATION,
            source=self._source,
            path=path,
        )

    def _name(self, *parts: str) -> names.Name:
        return names.job(self._settings, names.ARCHIVE_JOB, *parts)
