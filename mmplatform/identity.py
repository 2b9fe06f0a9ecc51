"""Identities: which event, which conversation and which person a record is about, whatever ids their sources choose.

A source numbers its events as it likes, often from 1 in each conversation. So an id counts only together with its
conversation, its source and its tenant, and everything that is derived is named after all four.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from pydantic import Field

DEFAULT_TENANT: Final = "default"
CANARY_TENANT: Final = "mmplatform-canary"
"""Tenant of the platform's own synthetic events, which are no customer's: no gateway has it as its own."""

TENANT_PATTERN: Final = "[a-z0-9][a-z0-9_-]{0,62}"
TenantId = Annotated[str, Field(pattern=rf"^{TENANT_PATTERN}$")]
"""Part of paths, headers and keys: small letters, digits, hyphens and underscores."""

SourceName = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]

_SEPARATOR: Final = "\x1f"
"""No id contains it, so that no two lists of parts have one text."""


def stable_id(*parts: str) -> str:
    """32 hex digits of a SHA-256 over the parts; the same for ever."""
    return hashlib.sha256(_SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def event_uid(tenant: str, source: str, conversation_id: str, event_id: str) -> str:
    """Identity of an event."""
    return stable_id("event", tenant, source, conversation_id, event_id)


def conversation_key(tenant: str, source: str, conversation_id: str) -> str:
    """Identity of a conversation, readable: ``tenant/source/conversation_id``; a slash within a part is escaped."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in (tenant, source, conversation_id))


def conversation_of_key(key: str) -> str:
    """The conversation's id in the key of a conversation."""
    return key.rsplit("/", 1)[-1].replace("%2F", "/").replace("%25", "%")


def is_canary_key(key: str) -> bool:
    """True for the key of a canary's subject or conversation."""
    return key.startswith(f"{CANARY_TENANT}/")


def subject_key(tenant: str, subject_id: str) -> str:
    """Identity of a subject: two tenants may know different people by one id. It decides the bucket."""
    return f"{tenant}/{subject_id}"
