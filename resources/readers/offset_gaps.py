"""Reasons of missing offsets: reads the log where a raw table has no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from mmplatform.errors import Rejected
from mmplatform.events import decode_event
from mmplatform.kafka.headers import is_canary
from mmplatform.land.lakehouse.row_codec import raw_id
from mmplatform.modalities import ModalitySpec
from quality.checks.offset_gaps import (
    CANARY_REASON,
    DEAD_LETTER_REASON,
    DUPLICATE_REASON,
    EXPIRED_REASON,
    LOST_REASON,
    NO_RECORD_REASON,
)
from resources.readers.hours import HourReader
from resources.stack import StackResource

MAX_OFFSETS: Final = 2_000
"""Missing offsets of customers that one check explains. Those of canaries do not count."""

MAX_MISSING: Final = 200_000
"""Missing offsets beyond which the log is not read: there is no telling which are canaries'."""


class ExplainedGaps(NamedTuple):
    """Missing offsets.

    Attributes:
        reasons: the reason of each, by topic partition and offset.
        lost_event_times: event times of the lost ones.
        unchecked: number of those that were too many to explain, and have no reason.
    """

    reasons: dict[tuple[int, int], str]
    lost_event_times: list[datetime]
    unchecked: int = 0


def explain_offset_gaps(
    gaps: Mapping[int, Sequence[int]], spec: ModalitySpec, stack: StackResource, reader: HourReader
) -> ExplainedGaps:
    """Find the reason of each missing offset.

    Raises:
        Unavailable: the log or the table cannot be read.
        Misconfigured: a setting is wrong, or the topic does not exist.
    """
    topic = f"{stack.settings().topic_prefix}{spec.topic}"
    missing = {(number, offset) for number, offsets in gaps.items() for offset in offsets}
    if len(missing) > MAX_MISSING:
        return ExplainedGaps({}, [], len(missing))
    since = {number: min(offsets) for number, offsets in gaps.items()}
    until = {number: max(offsets) + 1 for number, offsets in gaps.items()}
    raw_ids: dict[tuple[int, int], str] = {}
    event_times: dict[tuple[int, int], datetime] = {}
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
            if is_canary(entry.headers):
                reasons[position] = CANARY_REASON
                continue
            try:
                event = decode_event(entry.value)
                raw_ids[position], event_times[position] = raw_id(event), event.event_time
            except Rejected:
                reasons[position] = DEAD_LETTER_REASON
    canaries = {position: reason for position, reason in reasons.items() if reason == CANARY_REASON}
    if (others := len(missing) - len(canaries)) > MAX_OFFSETS:
        return ExplainedGaps(canaries, [], others)
    landed = reader.existing_ids(spec.raw_table, "raw_id", sorted(set(raw_ids.values())))
    reasons |= {position: DUPLICATE_REASON if row_id in landed else LOST_REASON for position, row_id in raw_ids.items()}
    lost = [event_times[position] for position in raw_ids if reasons[position] == LOST_REASON]
    return ExplainedGaps(reasons, lost)
