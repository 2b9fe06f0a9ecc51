"""Reasons of missing offsets: reads the log where a raw table has no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import decode_event
from mmplatform.land.lakehouse.row_codec import raw_id
from mmplatform.modalities import ModalitySpec
from quality.checks.offset_gaps import (
    DEAD_LETTER_REASON,
    DUPLICATE_REASON,
    EXPIRED_REASON,
    LOST_REASON,
    NO_RECORD_REASON,
)
from resources.readers.hours import HourReader
from resources.stack import StackResource

MAX_OFFSETS: Final = 2_000
"""Missing offsets that one check reads."""


def explain_offset_gaps(
    gaps: Mapping[int, Sequence[int]], spec: ModalitySpec, stack: StackResource, reader: HourReader
) -> dict[tuple[int, int], str]:
    """The reason of each missing offset, by topic partition and offset.

    Raises:
        Unavailable: the log or the table cannot be read.
        Misconfigured: a setting is wrong, or the topic does not exist.
    """
    topic = f"{stack.settings().topic_prefix}{spec.topic}"
    missing = {(number, offset) for number, offsets in gaps.items() for offset in offsets}
    since = {number: min(offsets) for number, offsets in gaps.items()}
    until = {number: max(offsets) + 1 for number, offsets in gaps.items()}
    raw_ids: dict[tuple[int, int], str] = {}
    with stack.log() as log:
        lows = {number: watermarks.low for number, watermarks in log.watermarks([topic])[topic].items()}
        reasons = {
            (number, offset): EXPIRED_REASON if offset < lows.get(number, 0) else NO_RECORD_REASON
            for number, offset in missing
        }
        for entry in log.read(topic, since, until):
            position = (entry.position.topic_partition, entry.position.offset)
            if position not in missing:
                continue
            try:
                raw_ids[position] = raw_id(decode_event(entry.value))
            except Rejected:
                reasons[position] = DEAD_LETTER_REASON
    landed = reader.existing_ids(spec.raw_table, "raw_id", sorted(set(raw_ids.values())))
    return reasons | {
        position: DUPLICATE_REASON if row_id in landed else LOST_REASON for position, row_id in raw_ids.items()
    }
