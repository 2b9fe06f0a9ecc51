"""Shed events: the gateway stored them under backpressure, with the mark that nothing is to be derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, Event
from mmplatform.modalities import SHED
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.refusals import Quarantined

SHED_REASONS: Final = {
    b"lag": "too many events were waiting for its deriver",
    b"age": "the oldest event had waited too long for its deriver",
    b"": "it came with the mark of being shed",
}
"""By the code that the gateway writes into the header ``shed``."""


def split_shed(
    arrivals: Sequence[Arrival[Event]], records: Sequence[ConsumedRecord]
) -> tuple[list[Arrival[Event]], list[Quarantined]]:
    """Separate the events that the gateway shed: they are quarantined with their reasons and cost no model call."""
    reasons = {record.position: record.shed_reasons for record in records if record.shed_reasons}
    rest = [arrival for arrival in arrivals if arrival.position not in reasons]
    shed = [
        quarantine(arrival, contract=SHED, reasons=reasons[arrival.position])
        for arrival in arrivals
        if arrival.position in reasons
    ]
    return rest, shed


def parse_shed_header(headers: Any) -> tuple[str, ...]:
    """The reasons for which a record was shed, from its Kafka headers; empty when it was not.

    An unknown code, written by a foreign client, is not repeated.
    """
    header = dict(headers or ()).get(SHED)
    if header is None:
        return ()
    codes = (header if isinstance(header, bytes) else str(header).encode()).split(b",")
    return tuple(dict.fromkeys(SHED_REASONS.get(code, SHED_REASONS[b""]) for code in codes))
