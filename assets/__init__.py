"""The assets that Dagster shows: raw → derived → passages → index, and the quarantine of bad events."""

from __future__ import annotations

import dagster as dg

from assets.derived import derived_assets
from assets.index import index_asset
from assets.quarantine import quarantine_spec
from assets.raw import raw_assets


def all_assets() -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """Every asset, in the order of the data's way."""
    return [*raw_assets(), *derived_assets(), quarantine_spec(), index_asset()]


def all_specs() -> list[dg.AssetSpec]:
    """The spec of every asset."""
    return [
        spec for asset in all_assets() for spec in (asset.specs if isinstance(asset, dg.AssetsDefinition) else [asset])
    ]
