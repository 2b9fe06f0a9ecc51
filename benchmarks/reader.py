"""The reader of the freshness benchmark: a process of its own that only knows the public search."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

POLL_S = 0.08
SELDOM = 5
LOOKBACK_S = {"chat": 8.0, "call": 60.0, "screenshot": 60.0}
PAGE = 100
"""The most hits of one search: a stretch of time that has more is asked for in halves."""


@dataclass(slots=True)
class Seen:
    """Each passage's modality and gap by its id, and how many searches failed."""

    gaps: dict[str, tuple[str, float]] = field(default_factory=dict)
    failed: int = 0


def read(
    gateway: str,
    subject: str,
    modalities: Sequence[str],
    started: Any,
    stop: Any,
    results: Any,
    last_poll_s: float = 0.0,
) -> None:
    """Poll each modality in turn, note when each passage is first got; ``started`` is set when polling begins.

    A passage that comes later than :data:`LOOKBACK_S` after its event is not seen, because a longer stretch costs more.
    With ``last_poll_s`` one last poll reaches so far back, and its finds count as having come at the end.

    Chats are asked for at each turn, the others, whose gaps are in seconds, seldom: the machine is what is measured.
    """
    seldom = [modality for modality in modalities if modality != "chat"]
    seen = Seen()
    with httpx.Client(base_url=gateway, timeout=30, trust_env=False) as client:
        for turn in itertools.count():
            begun = time.monotonic()
            for modality in modalities:
                if modality in seldom and turn % SELDOM:
                    continue
                _poll(client, subject, modality, LOOKBACK_S[modality], seen)
            started.set()
            if stop.is_set():
                break
            time.sleep(max(0.0, POLL_S - (time.monotonic() - begun)))
        for modality in modalities if last_poll_s else ():
            _poll(client, subject, modality, last_poll_s, seen)
    results.put(seen)


def _poll(client: httpx.Client, subject: str, modality: str, back_s: float, seen: Seen) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1)
    try:
        hits = sweep(client, subject, modality, until - timedelta(seconds=back_s), until)
    except httpx.HTTPError:
        seen.failed += 1
        return
    now = datetime.now(UTC)
    for hit in hits:
        if hit["passage_id"] not in seen.gaps:
            seen.gaps[hit["passage_id"]] = (modality, (now - datetime.fromisoformat(hit["event_time"])).total_seconds())


def sweep(client: httpx.Client, subject: str, modality: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """All passages of a stretch of time. Raises httpx.HTTPError."""
    stretch = {"since": since.isoformat(), "until": until.isoformat()}
    body = {"query": "payment", "subject_id": subject, "modalities": [modality], "k": PAGE, **stretch}
    hits: list[dict[str, Any]] = client.post("/v1/search", json=body).raise_for_status().json()["hits"]
    if len(hits) < PAGE:
        return hits
    half = since + (until - since) / 2
    return [*sweep(client, subject, modality, since, half), *sweep(client, subject, modality, half, until)]
