"""Canaries: synthetic events that show how fresh searches are, and whether a receipt claims too much."""

from __future__ import annotations

from pydantic import BaseModel, Field


class CanarySettings(BaseModel):
    """Canaries."""

    canary_interval_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Time between two chats of the canaries, which take turns over the topic partitions, in seconds; "
        "0: no canaries, of media neither.",
    )
    canary_media_interval_s: float = Field(
        default=1_800.0,
        ge=0,
        le=86_400,
        description="Time between two of their screenshots, and between two of their calls, in seconds; 0: none.",
    )
    canary_retention_days: int = Field(
        default=1, ge=1, le=30, description="Full days after which their blobs and index entries are deleted."
    )
    canary_gateway_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+)?$",
        description="`http://host:port` of the gateway that canaries are sent to; empty: that of this machine.",
    )
    canary_search_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+)?$",
        description="`http://host:port` of the search that must find them; empty: the same as the gateway.",
    )
    canary_status_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+)?$",
        description="`http://host:port` of the canaries' status page, for Dagster and `mmplatform freshness`; empty: "
        "that of the stack on this machine.",
    )
