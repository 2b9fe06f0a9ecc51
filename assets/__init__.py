"""The assets that Dagster shows: raw → derived → passages → index, and what was set aside on the way."""

from __future__ import annotations

import dagster as dg

from assets.derived import derived_specs
from assets.index import index_spec
from assets.quarantine import quarantine_spec
from assets.raw import raw_specs


def all_specs() -> list[dg.AssetSpec]:
    """Every asset, in the order of the data's way."""
    return [*raw_specs(), *derived_specs(), quarantine_spec(), index_spec()]
