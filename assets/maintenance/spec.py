"""What the upkeep assets have in common: who owns them, when they must be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import dagster as dg

from assets.partitions import FIRST_HOUR
from quality.dagster_policies import daily_policy

GROUP: Final = "upkeep"
OWNER: Final = "team:platform"
POOL: Final = "upkeep"
"""With a limit of 1 (``mmplatform up`` sets it) nothing rewrites a table while its files are looked for."""

KEPT_DAYS: Final = dg.DailyPartitionsDefinition(start_date=FIRST_HOUR, timezone="UTC")


def upkeep(
    key: str, description: str, kinds: set[str], **more: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """``dg.asset`` with what every upkeep asset says of itself; ``more`` are further arguments of it."""
    given: dict[str, Any] = {
        "name": key,
        "group_name": GROUP,
        "owners": [OWNER],
        "kinds": kinds,
        "tags": {"stage": GROUP, "modality": "all", "personal_data": "none"},
        "description": description,
        "freshness_policy": daily_policy(key),
        "pool": POOL,
        "code_version": "1",
        **more,
    }
    made: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(**given)
    return made
