"""Dagster's freshness policies, made from the one table in :mod:`quality.slas`.

The only module here that imports Dagster; the platform never imports it.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from quality.slas import DAILY_DEADLINES, LandingWindow


def landing_policy(window: LandingWindow) -> dg.FreshnessPolicy:
    """The policy of an asset: the longest time without a landing."""
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(seconds=window.fail_s),
        warn_window=None if window.warn_s is None else timedelta(seconds=window.warn_s),
    )


def daily_policy(asset: str) -> dg.FreshnessPolicy:
    """The policy of a maintenance asset: its deadline on each day.

    Raises:
        KeyError: :data:`quality.slas.DAILY_DEADLINES` has no row for it.
    """
    daily = DAILY_DEADLINES[asset]
    return dg.FreshnessPolicy.cron(
        deadline_cron=daily.deadline_cron, lower_bound_delta=timedelta(seconds=daily.within_s), timezone="UTC"
    )
