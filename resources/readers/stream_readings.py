"""Reads the way of each asset: records that wait in front of it, and services that are not ready."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mmplatform.events import utc_now
from quality.checks.backlog import combine_backlogs
from quality.checks.complete_up_to import StreamReading
from resources.readers.subscriptions import ASSET_SUBSCRIPTIONS
from resources.stack import StackResource

_INDEX: Final = "index"
_GATEWAY: Final = "gateway"


def read_streams(stack: StackResource, assets: Collection[str]) -> dict[str, StreamReading]:
    """Read the way of each asset. Raises ``Unavailable``, ``Misconfigured``."""
    read_at = utc_now()
    down = stack.services_not_ready()
    subscriptions = dict.fromkeys(found for asset in assets for found in ASSET_SUBSCRIPTIONS[asset])
    backlogs = stack.backlog(subscriptions)
    readings = {}
    for asset in assets:
        backlog = combine_backlogs([backlogs[subscription] for subscription in ASSET_SUBSCRIPTIONS[asset]])
        needed = {_GATEWAY, *(subscription.group for subscription in ASSET_SUBSCRIPTIONS[asset])}
        needed |= {"chroma"} if asset == _INDEX else set()
        blocking = tuple(sorted(name for name in down if _base_name(name) in needed))
        readings[asset] = StreamReading(read_at, backlog.lag, backlog.waiting_s, blocking)
    return readings


def _base_name(service: str) -> str:
    """Name of a service without its number: ``derive-chat-1`` → ``derive-chat``."""
    base, _, number = service.rpartition("-")
    return base if number.isdigit() else service
