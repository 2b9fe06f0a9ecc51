"""Opening a partition after any end, clean or not: what is sound stays, the torn tail is cut."""

from __future__ import annotations

from pathlib import Path

import structlog

from mmplatform.local.broker.log.flusher import sync_directory
from mmplatform.local.broker.log.partition import Checkpoint, PartitionLog, now_ms
from mmplatform.local.broker.log.producers import Producers
from mmplatform.local.broker.log.segment import LOG_SUFFIX, Segment
from mmplatform.local.broker.topic_configs import TopicConfig

_log = structlog.get_logger(__name__)
CLEANED_SUFFIX = ".cleaned"


def open_partition(directory: Path, config: TopicConfig, checkpoint: Checkpoint) -> PartitionLog:
    """Open the partition in `directory`, made when missing; reads only what the checkpoint does not cover.

    1. list the segments; each ends where the next begins
    2. check every batch after the checkpoint (checksum, rising offsets) and take it into index and producers
    3. cut the file behind the last sound batch, and drop segments that lie behind the cut
    4. start where the log starts, which may lie inside the first segment
    """
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f"*{CLEANED_SUFFIX}"):
        leftover.unlink()
    segments = _list(directory)
    producers = Producers.restore(checkpoint.producers)
    for at, segment in enumerate(segments):
        if segment.base_offset < checkpoint.segment:
            continue
        start = checkpoint.position if segment.base_offset == checkpoint.segment else 0
        if not _recover(segment, min(start, segment.size), producers):
            for later in segments[at + 1 :]:
                later.remove()
            del segments[at + 1 :]
            break
    if not segments:
        segments = [Segment.create(directory, checkpoint.log_start, now_ms())]
        sync_directory(directory)
    log = PartitionLog(directory, config, segments, producers)
    log.log_start = min(max(log.log_start, checkpoint.log_start), log.end_offset)
    return log


def _list(directory: Path) -> list[Segment]:
    paths = sorted(directory.glob(f"*{LOG_SUFFIX}"))
    bases = [int(path.stem) for path in paths]
    segments = []
    for at, (path, base) in enumerate(zip(paths, bases, strict=True)):
        stat = path.stat()
        next_offset = bases[at + 1] if at + 1 < len(bases) else base
        created = int(stat.st_mtime * 1000)
        segments.append(Segment(directory, base, next_offset=next_offset, size=stat.st_size, created_ms=created))
    return segments


def _recover(segment: Segment, start: int, producers: Producers) -> bool:
    """Check the batches from `start`; False when a tail had to be cut off."""
    # The index is loaded below the checkpoint only: what it says of the bytes behind is not yet known to be so.
    position = start
    noted_from = segment.open_index(start)
    for at, header in segment.batches(noted_from, start):
        segment.note(header, at)
    for at, header in segment.sound_batches(start):
        segment.note(header, at)
        producers.record(header, now_ms())
        position = at + header.size
    if position == segment.size:
        return True
    _log.warning("torn_tail_cut", segment=str(segment.path), kept_bytes=position, cut_bytes=segment.size - position)
    segment.truncate(position)
    return False
