"""A row of a table, as contracts, checks and reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
"""Values by column name."""
