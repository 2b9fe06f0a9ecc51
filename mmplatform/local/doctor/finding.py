"""The result of one check of ``mmplatform doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckStatus = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``fix`` says what to do and is empty when the check passed."""

    check: str
    status: CheckStatus
    detail: str
    fix: str = ""
