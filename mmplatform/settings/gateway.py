"""The gateway: its address, and the limits of what it accepts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from mmplatform.identity import CANARY_TENANT


def _own_tenant(tenant: str) -> str:
    if tenant == CANARY_TENANT:
        raise ValueError("is the platform's own, for its canaries: choose another one")
    return tenant


class GatewaySettings(BaseModel):
    """The gateway."""

    tenant: Annotated[str, AfterValidator(_own_tenant)] = Field(
        default="default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Tenant of everything that this gateway accepts and finds.",
    )
    gateway_host: str = Field(default="127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of the gateway; a free one is taken when it is in use."
    )
    gateway_reuse_port: bool = Field(
        default=False,
        description="Let another gateway of this user listen on the same port, as `mmplatform restart` wants it.",
    )
    max_chat_chars: int = Field(default=20_000, ge=1, description="Longest chat message, in characters.")
    max_chunk_bytes: int = Field(default=8_000_000, ge=1, description="Largest audio chunk, in bytes.")
    max_image_bytes: int = Field(default=20_000_000, ge=1, description="Largest screenshot file, in bytes.")
    max_image_pixels: int = Field(
        default=50_000_000, ge=1, description="Largest screenshot, in pixels (decompression bombs)."
    )
    max_future_s: float = Field(
        default=300.0, ge=0, description="How far ahead of our clock an event time may lie, in seconds."
    )
    max_inflight_body_bytes: int = Field(
        default=256_000_000,
        ge=1,
        description="Bytes of requests in hand at once, above which the gateway answers 429; one is always taken.",
    )
    tail_max_bytes: int = Field(
        default=134_217_728,
        ge=0,
        description="Memory for what is derived and not indexed yet, in each gateway; 0: only the index is searched.",
    )
