"""Chat messages and their changes as pending events."""

from __future__ import annotations

import uuid
from typing import Final

from mmplatform.errors import Rejected, TooLarge
from mmplatform.events import ChatDeleted, ChatEdited, ChatMessage, ChatRedacted, Event
from mmplatform.identity import stable_id
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.intake import PendingEvent, pending_uid
from mmplatform.ingest.schemas import AnyChatBody, ChatBody, EditBody

_CHAT_EVENTS: Final[dict[str, type[ChatMessage | ChatEdited | ChatDeleted | ChatRedacted]]] = {
    "chat_message": ChatMessage,
    "chat_edited": ChatEdited,
    "chat_deleted": ChatDeleted,
    "chat_redacted": ChatRedacted,
}


def pending_chat(deps: IngestDeps, body: AnyChatBody) -> PendingEvent:
    """A chat message or a change of one; it has no bytes for the blob store. Raises TooLarge, Rejected."""
    event_id = body.event_id or _new_id(body)
    text = body.text if isinstance(body, ChatBody | EditBody) else ""
    limit = deps.settings.max_chat_chars
    if len(text) > limit:
        raise TooLarge(f"event {event_id}: the text has {len(text)} characters, over the limit of {limit}: split it")

    if not isinstance(body, ChatBody) and body.message_id == event_id:
        raise Rejected(f"event_id is the message_id {event_id}: a change needs an id of its own, or none")

    async def build() -> Event:
        now = deps.clock()
        fields = body.model_dump(exclude={"event_id", "event_time", "kind"})
        stamps = {"event_id": event_id, "event_time": body.event_time or now, "ingested_at": now}
        return _CHAT_EVENTS[body.kind](**stamps, tenant=deps.settings.tenant, **fields)

    uid = pending_uid(deps, body.source, body.conversation_id, event_id)
    digest = body.content_digest(body.kind)
    # A shed change would leave the old text to be found, and what retracts a text costs no model.
    return PendingEvent(event_id, uid, "chat", digest, len(text.encode()), build, sheddable=isinstance(body, ChatBody))


def _new_id(body: AnyChatBody) -> str:
    """Id of an event that its source gave none: of a change the same for each repetition, where that has a sense."""
    if isinstance(body, ChatBody) or (body.revision is None and isinstance(body, EditBody)):
        return uuid.uuid4().hex  # an edit back to an earlier text is another edit
    # The subject too: a deletion that named a wrong one is corrected by another.
    return f"{body.kind}-{stable_id(body.kind, body.message_id, str(body.revision), body.subject_id)}"
