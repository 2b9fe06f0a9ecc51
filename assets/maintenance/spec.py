"""Common properties of the maintenance assets: owner, deadline, pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import dagster as dg

from assets.partitions import FIRST_HOUR
from quality.dagster_policies import daily_policy

GROUP: Final = "upkeep"
OWNER: Final = "team:platform"
POOL: Final = "upkeep"
"""With a limit of 1 (``mmplatform up`` sets it) no table is rewritten during a search for its orphan files."""

DAILY_PARTITIONS: Final = dg.DailyPartitionsDefinition(start_date=FIRST_HOUR, timezone="UTC")


def maintenance_asset(
    key: str, description: str, kinds: set[str], **more: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """``dg.asset`` with the common properties; ``more`` are further arguments of it."""
    arguments: dict[str, Any] = {
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
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(**arguments)
    return decorator
