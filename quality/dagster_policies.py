"""Dagster's freshness policies, made from the one table in :mod:`quality.slas`.

The only module here that knows Dagster; the platform never imports it.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from quality.slas import ASSET_WINDOWS, DAILY


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


def daily_policy(asset: str) -> dg.FreshnessPolicy:
    """The policy of what is done once a day: by when it must be done.

    Raises:
        KeyError: :data:`quality.slas.DAILY` has no row for it.
    """
    row = DAILY[asset]
    return dg.FreshnessPolicy.cron(
        deadline_cron=row.deadline, lower_bound_delta=timedelta(seconds=row.within_s), timezone="UTC"
    )
