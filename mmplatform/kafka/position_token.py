"""Tokens of acknowledged events: a search that names one waits until the event is in reach.

A token is the event's position, signed with a key of the installation, so that one of another installation, tenant or
topic is refused and none can be made up. It names no person and no text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import Position
from mmplatform.kafka.headers import pseudonym_key
from mmplatform.settings import Settings

MAX_TOKEN_CHARS: Final = 200
_SIGNATURE_BYTES: Final = 12
_PURPOSE: Final = b"position-token-1"


class PositionTokens:
    """Signs and reads tokens of one tenant, by a key derived from the installation's."""

    def __init__(self, key: bytes, tenant: str) -> None:
        self._key = hmac.new(key, _PURPOSE + tenant.encode(), hashlib.sha256).digest()

    def sign(self, position: Position) -> str:
        """The token of an event's position; its topic without prefix."""
        text = f"{position.topic}:{position.topic_partition}:{position.generation}:{position.offset}".encode()
        return base64.urlsafe_b64encode(self._signature(text) + text).decode().rstrip("=")

    def read(self, token: str) -> Position:
        """The position of a token. Raises Rejected: it is none of this installation and tenant."""
        refusal = Rejected("is no token of this platform: send one as an acknowledgement gave it")
        if len(token) > MAX_TOKEN_CHARS:
            raise refusal
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise refusal from None
        signature, text = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(text)):
            raise refusal
        topic, *numbers = text.decode().split(":")
        number, generation, offset = (int(part) for part in numbers)
        return Position(topic=topic, topic_partition=number, generation=generation, offset=offset)

    def _signature(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def open_tokens(settings: Settings) -> PositionTokens:
    """Tokens of the settings' installation and tenant. Raises Misconfigured: its key cannot be read or written."""
    return PositionTokens(pseudonym_key(settings), settings.tenant)
