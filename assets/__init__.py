"""The assets that Dagster shows: raw → derived → passages → index, and what was set aside on the way."""

from __future__ import annotations

import dagster as dg

from assets.derived import derived_assets
from assets.index import index_spec
from assets.quarantine import quarantine_spec
from assets.raw import raw_specs


def all_assets() -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """Every asset, in the order of the data's way."""
    return [*raw_specs(), *derived_assets(), quarantine_spec(), index_spec()]


def all_specs() -> list[dg.AssetSpec]:
    """What each of them says of itself."""
    return [spec for each in all_assets() for spec in (each.specs if isinstance(each, dg.AssetsDefinition) else [each])]
