"""What lies on the log where a raw table has no row: read there, and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import decode_event
from mmplatform.modalities import ModalitySpec
from quality.checks.offset_gaps import DEAD, EXPIRED, LOST, NO_RECORD, REPEATED
from resources.readers.hours import Hours
from resources.stack import StackResource

MOST: Final = 2_000
"""Missing offsets that are looked at in one check."""


def named_holes(
    holes: Mapping[int, Sequence[int]], spec: ModalitySpec, stack: StackResource, hours: Hours
) -> dict[tuple[int, int], str]:
    """Why each offset is missing, by topic partition and offset.

    Raises:
        Unavailable: the log or the table cannot be read.
        Misconfigured: a setting is wrong, or the topic was never made.
    """
    topic = f"{stack.settings().topic_prefix}{spec.topic}"
    log = stack.log()
    lows = {number: marks.low for number, marks in log.watermarks([topic])[topic].items()}
    wanted = {(number, offset) for number, offsets in holes.items() for offset in offsets}
    found = {(number, offset): EXPIRED if offset < lows.get(number, 0) else NO_RECORD for number, offset in wanted}
    since = {number: min(offsets) for number, offsets in holes.items()}
    until = {number: max(offsets) + 1 for number, offsets in holes.items()}
    events: dict[tuple[int, int], str] = {}
    for entry in log.read(topic, since, until):
        place = (entry.position.topic_partition, entry.position.offset)
        if place not in wanted:
            continue
        try:
            events[place] = decode_event(entry.value).event_id
        except Rejected:
            found[place] = DEAD
    known = hours.known(spec.raw_table, sorted(set(events.values())))
    return found | {place: REPEATED if event_id in known else LOST for place, event_id in events.items()}
