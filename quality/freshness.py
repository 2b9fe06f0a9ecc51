"""Dagster's freshness policies, made from the one table in :mod:`quality.slas`.

The only module here that knows Dagster; the platform never imports it.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from quality.slas import ASSET_WINDOWS


def policy(asset: str) -> dg.FreshnessPolicy:
    """The policy of an asset: how long it may go without a landing.

    Raises:
        KeyError: :data:`quality.slas.ASSET_WINDOWS` names no window for it.
    """
    window = ASSET_WINDOWS[asset]
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(seconds=window.fail_s),
        warn_window=None if window.warn_s is None else timedelta(seconds=window.warn_s),
    )
