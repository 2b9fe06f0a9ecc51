"""Locators: the place that a passage cites. A span of a message, seconds of a call, or a box of an image."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmplatform.events import BlobRef, Identifier, LogRecordBase, NonNegativeInt64, SpeakerName

PixelCoordinate = Annotated[float, Field(allow_inf_nan=False)]
RoleName = Annotated[str, Field(max_length=50)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Box(LogRecordBase):
    """An upright rectangle in pixels of the original image."""

    x0: PixelCoordinate
    y0: PixelCoordinate
    x1: PixelCoordinate
    y1: PixelCoordinate


class ChatLocator(LogRecordBase):
    """A span of one chat message (characters of the redacted text)."""

    at: Literal["chat"] = "chat"
    event_id: Identifier
    role: RoleName
    start: NonNegativeInt64
    end: NonNegativeInt64


class CallLocator(LogRecordBase):
    """A span of a call, in seconds from its start."""

    at: Literal["call"] = "call"
    call_id: Identifier
    channel: NonNegativeInt64
    speaker: SpeakerName
    start_s: Seconds
    end_s: Seconds


class ImageLocator(LogRecordBase):
    """A box of an image; the whole image for its caption."""

    at: Literal["image"] = "image"
    event_id: Identifier
    blob: BlobRef
    box: Box


Locator = Annotated[ChatLocator | CallLocator | ImageLocator, Field(discriminator="at")]
