"""Erasures that are due: redacted messages whose raw text the vault still holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mmplatform.errors import Rejected
from mmplatform.events import ChatRedacted
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.row_codec import row_to_event
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CHAT


@dataclass(frozen=True, slots=True)
class DueErasure:
    """One redaction: the message whose raw text must be destroyed, and since when it is known here."""

    tenant: str
    source: str
    conversation_id: str
    message_id: str
    subject_id: str
    since: datetime


def read_due_erasures(lakehouse: Lakehouse) -> list[DueErasure]:
    """Redactions of the raw table, the oldest first; one for each message.

    Raises:
        Unavailable: the catalog or its store does not answer.
    """
    from pyiceberg.expressions import EqualTo

    with catalog_errors(f"read {CHAT.raw_table}"):
        scan = lakehouse.table(CHAT.raw_table).scan(
            row_filter=EqualTo("kind", "chat_redacted"), selected_fields=("record",)
        )
        rows = scan.to_arrow().to_pylist()
    due: dict[str, DueErasure] = {}
    for event in sorted((found for row in rows if (found := _redaction(row))), key=lambda event: event.ingested_at):
        due.setdefault(
            event.message_uid,
            DueErasure(
                event.tenant,
                event.source,
                event.conversation_id,
                event.message_id,
                event.subject_id,
                event.ingested_at,
            ),
        )
    return list(due.values())


def _redaction(row: dict[str, str]) -> ChatRedacted | None:
    try:
        event = row_to_event(row)
    except Rejected:
        return None
    return event if isinstance(event, ChatRedacted) else None
