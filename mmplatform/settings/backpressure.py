"""What is done when derivers fall behind, and from when on: the settings of backpressure, for each modality its own.

They stand apart from :mod:`mmplatform.settings`, which takes them in and alone reads the environment.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Policy = Literal["buffer", "slow", "shed"]
"""``buffer``: take everything and let the lag grow. ``slow``: answer 429. ``shed``: keep the event, derive nothing."""


class MarkSettings(BaseModel):
    """A policy and four marks for each modality. An age is of the oldest event that no deriver is done with."""

    chat_policy: Policy = Field(
        default="slow", description="What is done over the high water of chats: `buffer`, `slow` or `shed`."
    )
    chat_high_water: int = Field(default=20_000, ge=1, description="Chats behind at which the policy begins.")
    chat_low_water: int = Field(default=10_000, ge=0, description="Chats behind at which it ends.")
    chat_high_age_s: float = Field(
        default=900.0,
        ge=0,
        description="Age of the oldest waiting chat at which it begins too, in seconds; 0: not looked at.",
    )
    chat_low_age_s: float = Field(
        default=300.0, ge=0, description="Age of the oldest waiting chat down to which it lasts, in seconds."
    )

    call_policy: Policy = Field(
        default="slow", description="What is done over the high water of pieces of calls: `buffer`, `slow` or `shed`."
    )
    call_high_water: int = Field(default=1_000, ge=1, description="Pieces of calls behind at which the policy begins.")
    call_low_water: int = Field(default=500, ge=0, description="Pieces of calls behind at which it ends.")
    call_high_age_s: float = Field(
        default=900.0,
        ge=0,
        description="Age of the oldest waiting piece of a call at which it begins too, in seconds; 0: not looked at.",
    )
    call_low_age_s: float = Field(
        default=300.0, ge=0, description="Age of the oldest waiting piece of a call down to which it lasts, in seconds."
    )

    screenshot_policy: Policy = Field(
        default="slow", description="What is done over the high water of screenshots: `buffer`, `slow` or `shed`."
    )
    screenshot_high_water: int = Field(default=200, ge=1, description="Screenshots behind at which the policy begins.")
    screenshot_low_water: int = Field(default=100, ge=0, description="Screenshots behind at which it ends.")
    screenshot_high_age_s: float = Field(
        default=900.0,
        ge=0,
        description="Age of the oldest waiting screenshot at which it begins too, in seconds; 0: not looked at.",
    )
    screenshot_low_age_s: float = Field(
        default=300.0, ge=0, description="Age of the oldest waiting screenshot down to which it lasts, in seconds."
    )
