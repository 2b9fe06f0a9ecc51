"""Names of the tables that have a contract, for those who must not import Pandera."""

from __future__ import annotations

from typing import Final

CONTRACTS: Final = ("raw_chats", "raw_calls", "raw_screenshots", "messages", "transcripts", "captions", "passages")
