"""What every asset here has in common: the stream makes it, Dagster is told of it.

The stream runs without Dagster and lands them; the ``landings`` sensor reports each landing. Runs make an hour of the
derived ones again (:mod:`assets.reprocess`); the others are external.
Every one has a description, an owner, kinds, tags, its columns and its freshness policy, all from one table each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.columns import column_schema
from quality.dagster_policies import policy

OWNERS: Final[dict[str, str]] = {"raw": "team:ingest", "derived": "team:derive", "index": "team:retrieval"}
"""Who answers for a stage."""


def external(
    key: str,
    *,
    stage: str,
    description: str,
    table: str,
    records: Iterable[type[BaseModel]],
    partitions: dg.PartitionsDefinition,
    kinds: set[str],
    deps: Iterable[dg.AssetDep] = (),
    tags: Mapping[str, str] | None = None,
) -> dg.AssetSpec:
    """The spec of one asset that the stream makes.

    ``stage`` (``raw``, ``derived`` or ``index``) is the asset's group and says who owns it; ``table`` has its columns,
    and ``records`` are what its rows were; ``tags`` come beside the one for the stage.
    """
    return dg.AssetSpec(
        key,
        deps=list(deps),
        description=description,
        group_name=stage,
        owners=[OWNERS[stage]],
        kinds=kinds,
        tags={"stage": stage, **(tags or {})},
        metadata={"dagster/column_schema": column_schema(table, records), "dagster/table_name": table},
        partitions_def=partitions,
        freshness_policy=policy(key),
    )


def same_hour(key: str) -> dg.AssetDep:
    """What happened in an hour is derived from what arrived of that hour."""
    return dg.AssetDep(key, partition_mapping=dg.TimeWindowPartitionMapping())
