"""Lands hours of a raw table again from the log: missing rows come back, damaged ones are replaced.

One pass over the log serves all hours of a run. It begins with the first record that was appended at or after the
earliest of them, and ends where the archiver has committed: later records are the archiver's. Rows that equal the log's
stay as they are, so a second run changes nothing.

The log may have expired records of an hour. Nothing else names them: so the offsets that are on no log and in no row
are reported, where the rows around them were appended about that hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import structlog

from mmplatform.errors import Rejected
from mmplatform.events import decode_event
from mmplatform.kafka.headers import is_canary, log_generation
from mmplatform.kafka.reader import LogEntry, ReplayLog, Watermarks
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.hour_partition import HOUR, hour_number, hour_start
from mmplatform.land.lakehouse.restore import RepairResult
from mmplatform.land.lakehouse.row_codec import raw_id, record_to_row
from mmplatform.land.lakehouse.snapshot_offsets import PositionedRow
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ModalitySpec
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
_BATCH_SIZE: Final = 2_000
_MAX_NAMED_RANGES: Final = 10
_PROGRESS_RECORDS: Final = 1_000
CLOCK_LEAD: Final = timedelta(hours=1)
"""An event may be appended before its own time, where the source's clock is ahead. Another producer than the gateway,
which allows five minutes by default, may allow more."""

LATENESS: Final = timedelta(days=1)
"""An expired offset is reported for an hour when it was appended until this long after the hour."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_ALWAYS: Final = datetime.max.replace(tzinfo=UTC)

RecordProgress = Callable[[int, int], None]
"""Called with the number of records read, and their total."""


class ExpiredRange(NamedTuple):
    """Offsets of a topic partition, both included, that are neither on the log nor in the table."""

    topic_partition: int
    first: int
    last: int


@dataclass(slots=True)
class HourRestoreResult:
    """One hour after its restore.

    Attributes:
        read: events of the hour on the log.
        rows: rows that were added, replaced, or equal to the log's.
        unfit: records that are no row: the archiver reported them as dead letters.
        unverified: rows whose records have expired from the log: they stay as they are.
        expired: expired offsets that are in no row. Events of the hour may be among them.
    """

    read: int = 0
    rows: RepairResult = field(default_factory=RepairResult)
    unfit: int = 0
    unverified: int = 0
    expired: tuple[ExpiredRange, ...] = ()


def restore_hours(
    settings: Settings,
    lakehouse: Lakehouse,
    log: ReplayLog,
    spec: ModalitySpec,
    hours: Sequence[datetime],
    progress: RecordProgress = lambda result, total: None,  # noqa: ARG005 - names of the arguments
) -> dict[datetime, HourRestoreResult]:
    """Land hours of a modality's raw table again; each by its start, aware of UTC.

    Raises:
        Unavailable: the log or the lakehouse does not answer; landed rows stay, and it can be run again.
        Misconfigured: the topic is missing.
    """
    results = {hour: HourRestoreResult() for hour in hours}
    if not results:
        return results
    lakehouse.ensure_tables()
    topic = topic_name(settings, spec.topic)
    watermarks = log.watermarks([topic])[topic]
    group = f"{settings.topic_prefix}{ARCHIVE_GROUP}"
    ends = {number: found.next_offset for number, found in log.progress(group, [topic])[topic].items()}
    starts = log.resolve_bound(
        topic, min(results) - CLOCK_LEAD, {number: low for number, (low, _) in watermarks.items()}
    )
    total = sum(max(end - starts[number], 0) for number, end in ends.items())
    entries = _counted(log.read(topic, starts, ends), total, progress)
    for batch in _batches(entries, spec, results):
        _repair(lakehouse, spec, batch, results)
    _report_expired(lakehouse, log, spec, (topic, watermarks, settings.log_generation), results)
    return results


def _counted(entries: Iterator[LogEntry], total: int, progress: RecordProgress) -> Iterator[LogEntry]:
    count = 0
    for count, entry in enumerate(entries, start=1):
        yield entry
        if count % _PROGRESS_RECORDS == 0:
            progress(count, max(total, count))
    progress(count, count)


def _batches(
    entries: Iterable[LogEntry], spec: ModalitySpec, results: Mapping[datetime, HourRestoreResult]
) -> Iterator[dict[datetime, list[PositionedRow]]]:
    """Rows of these hours by hour, in batches. Of an event that was sent again the first record counts, as at first."""
    rows: dict[datetime, list[PositionedRow]] = defaultdict(list)
    seen: set[str] = set()
    for entry in entries:
        if is_canary(entry.headers):
            continue
        try:
            event = decode_event(entry.value)
        except Rejected:  # a deriver has reported it
            continue
        hour = hour_start(hour_number(event.event_time))
        if hour not in results or event.kind not in spec.event_kinds or raw_id(event) in seen:
            continue
        seen.add(raw_id(event))
        position = entry.position.model_copy(update={"topic": spec.topic, "generation": log_generation(entry.headers)})
        rows[hour].append((position, record_to_row(event, position, entry.timestamp)[1]))
        if sum(map(len, rows.values())) >= _BATCH_SIZE:
            yield rows
            rows = defaultdict(list)
    yield rows


def _repair(
    lakehouse: Lakehouse,
    spec: ModalitySpec,
    batch: Mapping[datetime, Sequence[PositionedRow]],
    results: Mapping[datetime, HourRestoreResult],
) -> None:
    for hour, rows in batch.items():
        result = results[hour]
        result.read += len(rows)
        try:
            result.rows += lakehouse.repair(spec.raw_table, rows)
        except Rejected as error:
            unfit = {position for position, _ in lakehouse.unfit_rows(spec.raw_table, rows)}
            _log.warning("rows that do not fit are left out", table=spec.raw_table, rows=len(unfit), reason=str(error))
            result.unfit += len(unfit)
            result.rows += lakehouse.repair(spec.raw_table, [row for row in rows if row[0] not in unfit])


def _report_expired(
    lakehouse: Lakehouse,
    log: ReplayLog,
    spec: ModalitySpec,
    state: tuple[str, Mapping[int, Watermarks], int],
    results: Mapping[datetime, HourRestoreResult],
) -> None:
    """Find offsets below the log's start that no row has, and count the rows that lie below it."""
    topic, watermarks, generation = state
    lows = {number: low for number, (low, _) in watermarks.items() if low > 0}
    if not lows:
        return
    rows, earlier = _rows_below(lakehouse, spec, generation, lows, min(results) - CLOCK_LEAD)
    for row in rows:
        result = results.get(hour_start(hour_number(row["event_time"])))
        if result is not None:
            result.unverified += 1
    firsts = {entry.position.topic_partition: entry.timestamp for entry in _first_entries(log, topic, lows)}
    for number, low in lows.items():
        landed = sorted((row["log_offset"], row["logged_at"]) for row in rows if row["topic_partition"] == number)
        for gap in _gaps(earlier.get(number, -1), landed, (low, firsts.get(number))):
            for hour, result in results.items():
                if gap.appended_before >= hour - CLOCK_LEAD and gap.appended_after < hour + HOUR + LATENESS:
                    result.expired = (*result.expired, ExpiredRange(number, gap.first, gap.last))


def _rows_below(
    lakehouse: Lakehouse, spec: ModalitySpec, generation: int, lows: Mapping[int, int], since: datetime
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Rows below the log's start that were appended since, and the highest offset before them by topic partition.

    The table may have years of rows: only those of the time in question become Python objects.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ("topic_partition", "log_offset", "log_generation", "logged_at", "event_time")
    table = lakehouse.scan(spec.raw_table, columns=columns)
    written_in, logged_at = pc.field("log_generation"), pc.field("logged_at")
    # Rows of an earlier release have neither column.
    wanted = written_in == generation
    table = table.filter(wanted | written_in.is_null() if generation == 0 else wanted)
    old = table.filter(logged_at < pa.scalar(since))
    highest = old.group_by("topic_partition").aggregate([("log_offset", "max")]).to_pylist()
    recent = table.filter((logged_at >= pa.scalar(since)) | logged_at.is_null())
    rows = [row for row in recent.to_pylist() if _is_below(row, lows)]
    return rows, {row["topic_partition"]: row["log_offset_max"] for row in highest}


def _is_below(row: Mapping[str, Any], lows: Mapping[int, int]) -> bool:
    return bool(row["log_offset"] < lows.get(row["topic_partition"], 0))


def _first_entries(log: ReplayLog, topic: str, lows: Mapping[int, int]) -> Iterator[LogEntry]:
    return log.read(topic, lows, {number: low + 1 for number, low in lows.items()})


class _Gap(NamedTuple):
    """Offsets, both included, without a row; with the times of the rows around them."""

    first: int
    last: int
    appended_after: datetime
    appended_before: datetime


def _gaps(
    previous: int, landed: Sequence[tuple[int, datetime | None]], end: tuple[int, datetime | None]
) -> Iterator[_Gap]:
    """Gaps between the offset ``previous``, the landed ones and the end."""
    appended_after = _NEVER
    for offset, appended_at in (*landed, end):
        if offset > previous + 1:
            yield _Gap(previous + 1, offset - 1, appended_after, appended_at or _ALWAYS)
        previous, appended_after = max(offset, previous), appended_at or appended_after


def describe_expired(spec: ModalitySpec, ranges: Iterable[ExpiredRange]) -> str:
    """Expired offsets by topic partition: ``interactions.chat[0]: 3-7, 9``."""
    unique = sorted(set(ranges))
    described = []
    for number, found in groupby(unique[:_MAX_NAMED_RANGES], key=lambda expired: expired.topic_partition):
        offsets = ", ".join(_describe_range(expired) for expired in found)
        described.append(f"{spec.topic}[{number}]: {offsets}")
    more = len(unique) - _MAX_NAMED_RANGES
    return "; ".join(described) + (f" and {more} more ranges" if more > 0 else "")


def _describe_range(expired: ExpiredRange) -> str:
    return str(expired.first) if expired.first == expired.last else f"{expired.first}-{expired.last}"


def hour_metadata(result: HourRestoreResult) -> dict[str, Any]:
    """Counts of a restored hour, as a run reports them."""
    return {
        "read": result.read,
        "added": result.rows.added,
        "replaced": result.rows.replaced,
        "unchanged": result.rows.unchanged,
        "unfit": result.unfit,
        "unverified": result.unverified,
    }
