"""What a handler knows of its caller, and small values that all answers share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from kio.schema.types import BrokerId
from kio.static.primitive import i32Timedelta

from mmplatform.local.broker.node import NODE_ID

# Nobody is throttled here.
NO_THROTTLE: Final = cast("i32Timedelta", timedelta(0))
BROKER_ID: Final = BrokerId(NODE_ID)
# The protocol's way to say that no access control is asked for.
NO_OPERATIONS: Final = -(2**31)


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and in which version of the API."""

    client_id: str
    client_host: str
    api_version: int
