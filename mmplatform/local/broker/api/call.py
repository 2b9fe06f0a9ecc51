"""Caller of a request, and constants of all responses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from kio.schema.types import BrokerId
from kio.static.primitive import i32Timedelta

from mmplatform.local.broker.node import NODE_ID

# No client is throttled.
NO_THROTTLE: Final = cast("i32Timedelta", timedelta(0))
BROKER_ID: Final = BrokerId(NODE_ID)
# The protocol's value for no access control.
NO_OPERATIONS: Final = -(2**31)


@dataclass(frozen=True, slots=True)
class Call:
    """The client of a request, and the version of its API."""

    client_id: str
    client_host: str
    api_version: int
