"""Common spec of the assets that the stream writes.

The stream runs without Dagster and lands them; the ``landings`` sensor reports each landing. Runs reprocess hours of
the derived ones (:mod:`assets.reprocess`), restore hours of the raw ones (:mod:`assets.restore_hours`) and rebuild
buckets of the index (:mod:`assets.rebuild_bucket`).
Every one has a description, an owner, kinds, tags, its columns and its freshness policy, all from one table each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg
from pydantic import BaseModel

from assets.columns import column_schema
from mmplatform.settings import load
from quality.dagster_policies import landing_policy
from quality.slas import landing_windows

OWNERS: Final[dict[str, str]] = {"raw": "team:ingest", "derived": "team:derive", "index": "team:retrieval"}
"""The owner of each stage."""


def stream_asset_spec(
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
    """The spec of one asset that the stream writes.

    ``stage`` (``raw``, ``derived`` or ``index``) is the asset's group and decides its owner; ``table`` has its columns,
    and ``records`` are the types of its rows; ``tags`` are added to the one for the stage.
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
        freshness_policy=landing_policy(landing_windows(load().freshness_windows)[key]),
    )


def same_hour_dep(key: str) -> dg.AssetDep:
    """A dependency on the same hour of another asset."""
    return dg.AssetDep(key, partition_mapping=dg.TimeWindowPartitionMapping())
