"""The hot vector index behind search: one partition for each bucket of subjects."""

from __future__ import annotations

from typing import Final

import dagster as dg

from assets.partitions import BY_BUCKET
from assets.rebuild_bucket import rebuild_asset
from assets.specs import stream_asset_spec
from mmplatform.artifacts import Passage
from mmplatform.modalities import PASSAGES_TABLE

INDEX: Final = "index"


def index_asset() -> dg.AssetsDefinition:
    """``index``: filled by the stream, its buckets rebuilt by runs. A bucket holds passages of every hour."""
    spec = stream_asset_spec(
        INDEX,
        stage="index",
        description=(
            "Passages in Chroma, one collection for each bucket of subjects and embedder: a question "
            "about one customer touches one bucket, and erasing a customer rebuilds one."
        ),
        table=PASSAGES_TABLE,
        records=[Passage],
        partitions=BY_BUCKET,
        kinds={"chroma", "python"},
        deps=[dg.AssetDep(PASSAGES_TABLE, partition_mapping=dg.AllPartitionMapping())],
        tags={"modality": "all", "personal_data": "redacted"},
    )
    return rebuild_asset(spec)
