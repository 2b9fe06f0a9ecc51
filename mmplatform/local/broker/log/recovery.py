"""Opens a partition after a clean or unclean end: valid batches stay, the torn tail is cut."""

from __future__ import annotations

from pathlib import Path

import structlog

from mmplatform.local.broker.log.flusher import sync_directory
from mmplatform.local.broker.log.partition import Checkpoint, PartitionLog, now_ms
from mmplatform.local.broker.log.producers import Producers
from mmplatform.local.broker.log.segment import LOG_SUFFIX, LogSegment
from mmplatform.local.broker.topic_configs import TopicConfig

_log = structlog.get_logger(__name__)
CLEANED_SUFFIX = ".cleaned"


def open_partition(directory: Path, config: TopicConfig, checkpoint: Checkpoint) -> PartitionLog:
    """Open the partition in `directory`, made when missing; reads only what the checkpoint does not cover.

    1. list the segments; each ends where the next begins
    2. check every batch after the checkpoint (checksum, rising offsets) and add it to index and producers
    3. cut the file behind the last valid batch, and remove segments behind the cut
    4. sync what was found: a broker that was killed may not have, and from here on it counts as durable
    5. start where the log starts, which may lie inside the first segment

    Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f"*{CLEANED_SUFFIX}"):
        leftover.unlink()
    segments = _list(directory)
    producers = Producers.restore(checkpoint.producers)
    append_time = checkpoint.append_time
    for index, segment in enumerate(segments):
        if segment.base_offset < checkpoint.segment and segment is not segments[-1]:
            continue
        start = checkpoint.position if segment.base_offset == checkpoint.segment else 0
        is_complete = _recover(segment, start, producers)
        append_time = max(append_time, segment.append_time)
        if not is_complete:
            for later in segments[index + 1 :]:
                later.remove()
            del segments[index + 1 :]
            break
        if index + 1 < len(segments):
            # Compaction may have taken the segment's last batches.
            segment.next_offset = segments[index + 1].base_offset
    if not segments or segments[-1].next_offset < checkpoint.segment:
        # The files are missing, or a power cut lost the name of a new one: even so no offset is used twice.
        segments.append(LogSegment.create(directory, max(checkpoint.log_start, checkpoint.segment), now_ms()))
    if segments[-1].base_offset >= checkpoint.segment:
        sync_directory(directory)
    log = PartitionLog(directory, config, segments, producers, append_time=append_time)
    log.log_start = min(max(log.log_start, checkpoint.log_start), log.end_offset)
    return log


def _list(directory: Path) -> list[LogSegment]:
    paths = sorted(directory.glob(f"*{LOG_SUFFIX}"))
    bases = [int(path.stem) for path in paths]
    segments = []
    for index, (path, base) in enumerate(zip(paths, bases, strict=True)):
        stat = path.stat()
        next_offset = bases[index + 1] if index + 1 < len(bases) else base
        created = int(stat.st_mtime * 1000)
        segments.append(LogSegment(directory, base, next_offset=next_offset, size=stat.st_size, created_ms=created))
    return segments


def _recover(segment: LogSegment, start: int, producers: Producers) -> bool:
    """Check the batches from `start`; False when a tail had to be cut off."""
    if _is_stale(segment, start):
        _log.warning("stale_checkpoint", segment=str(segment.path), position=start, bytes=segment.size)
        start = 0
    counted = producers.last_offset
    position = start
    # The index is loaded below the checkpoint only: what it says of the bytes behind is not yet known to be so.
    noted_from = segment.open_index(start)
    for batch_position, header in segment.batches(noted_from, start):
        segment.note(header, batch_position)
    for batch_position, header in segment.valid_batches(start):
        segment.note(header, batch_position)
        if header.last_offset > counted:
            producers.record(header, now_ms())
        position = batch_position + header.size
    if position < segment.size:
        _log.warning("torn_tail_cut", segment=str(segment.path), kept_bytes=position, cut_bytes=segment.size - position)
        segment.truncate(position)
        return False
    if position > start:
        segment.sync()
    return True


def _is_stale(segment: LogSegment, start: int) -> bool:
    """Check whether no batch of this file ends at `start`: the file was rewritten, or lost its end, since then.

    Such a position says nothing of the file, so all of it has to be checked. A tail that was torn right at the
    checkpoint looks alike from there, but is distinguished by the batches before it.
    """
    if start > segment.size:
        return True
    if start == segment.size or next(segment.valid_batches(start), None) is not None:
        return False
    ends = [position + header.size for position, header in segment.batches(0, start)]
    return start != (ends[-1] if ends else 0)
