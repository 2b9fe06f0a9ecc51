"""Bounds of the contracts: the fixed ones, and those that the settings decide. The gateway applies the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MIN_EVENT_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before this an event time is a wrong clock (1970 above all), not history."""

MAX_CALL_S: Final = 86_400.0
"""A longer call is a wrong clock."""

VISIBLE_CHARACTER: Final = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""A character that is no white space, spelled out: ``\\s`` differs between Python and Rust."""


@dataclass(frozen=True, slots=True)
class ContractLimits:
    """Limits from the settings; see docs/reference/configuration.md."""

    max_chat_chars: int = 20_000
    max_future_s: float = 300.0
    max_image_pixels: int = 50_000_000
    max_chunk_s: float = 120.0
