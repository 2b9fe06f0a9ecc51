"""One hour derived again from its raw rows, in place, beside a stream that goes on.

Dagster's assets and ``mmplatform reprocess`` come here. The path and the derivers are the stream's own; only who reads
the events and who lands the outcome differs. Run again with the same code, it changes nothing.

An hour is one run's at a time, on one machine: a second one waits for its turn (``hour_lock``).

1. Read what the stores hold of the hour, so that a store that is away ends the run before anything is touched.
2. Read the raw rows of the hour: of a call all that there are, for a word may begin in the hour before.
3. Derive. Until here nothing was written: who stops now leaves no trace but the memo.
4. Replace what differs, one commit for each table, side by side.
5. Once the modality's table and the passages are there, bring the index to match: what differs is upserted, what
   vanished is deleted. A run that ended within 4. and 5. is mended by the next one, which compares each table and the
   index for itself.

Why rows keep their place on the log, and what the stream lands meanwhile: docs/adr/0006-reprocess-in-place.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, ModalitySpec
from mmplatform.pipeline.reprocess.diff import Held, held_artifact, held_aside, held_indexed
from mmplatform.pipeline.reprocess.hour import Changes, HeldHour, MadeHour, land, match_index
from mmplatform.pipeline.reprocess.hour_lock import turn
from mmplatform.pipeline.reprocess.inputs import Parts
from mmplatform.pipeline.reprocess.raw_rows import raw_rows
from mmplatform.pipeline.reprocess.rederive import Progress, rederive

_log = structlog.get_logger(__name__)
HOUR_FORMAT: Final = "%Y-%m-%d-%H:%M"
DERIVED_TABLES: Final = {spec.derived_table: spec for spec in MODALITIES.values()}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    Attributes:
        read: events that were derived again; of a call those before and after the hour are among them.
        tables: by table.
        upserted: passages that were written to the index.
        deleted: passages that were taken out of it.
        quarantined: events of the hour that are set aside.
        lost: events of the hour whose bytes are missing or damaged; what was made of them before stays.
    """

    table: str
    hour: datetime
    read: int = 0
    tables: Mapping[str, Changes] = field(default_factory=dict)
    upserted: int = 0
    deleted: int = 0
    quarantined: int = 0
    lost: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        rows = sum(each.added + each.replaced + each.vanished for each in self.tables.values())
        return bool(rows or self.upserted or self.deleted)


def parse_hour(text: str) -> datetime:
    """``2026-08-01-10:00``, in UTC: the key of a partition in Dagster. Raises Rejected."""
    try:
        return datetime.strptime(text, HOUR_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise Rejected(f"{text!r} is no hour: write it in UTC like 2026-08-01-10:00") from None


def spec_of(table: str) -> ModalitySpec:
    """The modality of a table that can be reprocessed. Raises Rejected."""
    if table not in DERIVED_TABLES:
        raise Rejected(
            f"{table} cannot be reprocessed: name one of {', '.join(DERIVED_TABLES)}; passages come with each"
        )
    return DERIVED_TABLES[table]


def check_hour(hour: datetime, now: datetime) -> None:
    """Refuse what is no whole hour, or has not begun. Raises Rejected."""
    if hour.utcoffset() is None or hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0) != hour:
        raise Rejected(f"{hour.isoformat()} does not begin an hour of UTC: write it like 2026-08-01-10:00")
    if hour > now:
        raise Rejected(f"the hour {hour.astimezone(UTC):{HOUR_FORMAT}} has not begun: nothing can have happened in it")


def reprocess(
    table: str,
    hour: datetime,
    parts: Parts,
    *,
    progress: Progress = lambda done, of: None,  # noqa: ARG005 - names say what it is told
    clock: Callable[[], datetime] = utc_now,
) -> Summary:
    """Derive an hour of a modality again, and replace what differs in the lakehouse and in the index.

    Args:
        table: ``messages``, ``transcripts`` or ``captions``.
        hour: of the rows' event times; its start, aware of UTC.
        parts: stores and the modality's deriver.
        progress: told how many events are derived, and of how many.
        clock: the present.

    Raises:
        Rejected: no such table, or no hour that has begun; nothing was read.
        Unavailable: a store does not answer. What was committed stays; run it again.
        Permanent: a model cannot be used at all; nothing was written.
    """
    spec = spec_of(table)
    check_hour(hour, clock())
    hour = hour.astimezone(UTC)
    with turn(parts.turns, table, hour):
        summary = _reprocess(spec, hour, parts, progress, clock)
    _tell(summary)
    return summary


def _reprocess(
    spec: ModalitySpec, hour: datetime, parts: Parts, progress: Progress, clock: Callable[[], datetime]
) -> Summary:
    table = spec.derived_table
    # 1.
    held = _read_hour(parts, spec, hour)
    # 2.
    rows = raw_rows(parts.lakehouse, spec, hour, held.conversations(*held.tables))
    # 3.
    found = rederive(rows, parts.deriver, spec, parts.limits, batch=parts.batch, blobs=parts.blobs, progress=progress)
    made = MadeHour.of(found, hour, held.conversations(table))
    # 4. and 5.
    tables, upserted, deleted = _land(parts, spec, hour, held, made, clock())
    return Summary(
        table=table,
        hour=hour,
        read=len(rows),
        tables=tables,
        upserted=upserted,
        deleted=deleted,
        quarantined=len(made.quarantined),
        lost=made.lost,
    )


def _land(
    parts: Parts, spec: ModalitySpec, hour: datetime, held: HeldHour, made: MadeHour, now: datetime
) -> tuple[dict[str, Changes], int, int]:
    """What was changed in each table, upserted and deleted. A commit waits for the catalog, an upsert for Chroma."""

    def replace(table: str) -> tuple[Changes, frozenset[str]]:
        return land(parts.lakehouse, hour, table, held, made)

    with ThreadPoolExecutor(1, thread_name_prefix="tables") as beside:
        own, aside = (beside.submit(replace, table) for table in (spec.derived_table, QUARANTINE_TABLE))
        passages, overtaken = replace(PASSAGES_TABLE)
        changed, _ = own.result()  # what a passage cites is there before anybody can find it
        upserted, deleted = match_index(parts.in_step, held.index, made, overtaken, now)
        tables = {spec.derived_table: changed, PASSAGES_TABLE: passages, QUARANTINE_TABLE: aside.result()[0]}
    return tables, upserted, deleted


def _read_hour(parts: Parts, spec: ModalitySpec, hour: datetime) -> HeldHour:
    read: dict[str, Callable[[Mapping[str, Any]], Held]] = {
        spec.derived_table: held_artifact,
        PASSAGES_TABLE: held_artifact,
        QUARANTINE_TABLE: held_aside,
    }
    tables = {}
    with ThreadPoolExecutor(1, thread_name_prefix="index") as beside:
        indexed = beside.submit(list, parts.index.rows(modality=spec.modality, since=hour, until=hour + HOUR))
        for name, held in read.items():
            scanned = parts.lakehouse.scan(name, hour=hour).to_pylist()
            rows = [row for row in scanned if row["modality"] == spec.modality]
            tables[name] = {row[SPECS[name].id_column]: held(row) for row in rows}
        index = {
            (metadata["embedder"], each): held_indexed(text, metadata) for each, text, metadata in indexed.result()
        }
    return HeldHour(tables, index)


def _tell(summary: Summary) -> None:
    _log.info(
        "hour reprocessed",
        table=summary.table,
        hour=summary.hour.strftime(HOUR_FORMAT),
        read=summary.read,
        upserted=summary.upserted,
        deleted=summary.deleted,
        quarantined=summary.quarantined,
        lost=list(summary.lost),
        changed=summary.changed,
    )
