"""Limits over all of a file: how long it may be, and how much of it may be missing."""

from __future__ import annotations

from typing import Any, Final

from mmplatform.derive.media.timeline import NOTHING_DECODED, Hole
from mmplatform.errors import Rejected, TooLarge

_MAX_MISSING_SHARE: Final = 0.5


class Tally:
    """Seconds of a file that are decoded and missing, over all of the files that are joined in it."""

    def __init__(self, max_s: float | None) -> None:
        self._max_s = max_s
        self._decoded_s = self._missing_s = 0.0

    def add(self, item: Any) -> None:
        """Count a frame or a hole. Raises TooLarge behind the limit."""
        if isinstance(item, Hole):
            self._missing_s += item.seconds
        else:
            self._decoded_s += item.samples / item.sample_rate
        if self._max_s is not None and self._decoded_s + self._missing_s > self._max_s:
            raise TooLarge(f"audio of over {self._max_s:.0f} s in one file: split it")

    def check_damage(self) -> None:
        """Raise Rejected where nothing was decoded, or more than half is missing."""
        if not self._decoded_s:
            raise Rejected(NOTHING_DECODED)
        total_s = self._decoded_s + self._missing_s
        if self._missing_s > _MAX_MISSING_SHARE * total_s:
            raise Rejected(
                f"damaged audio: {self._missing_s:.2f} of {total_s:.2f} s cannot be decoded; send the whole file again"
            )
