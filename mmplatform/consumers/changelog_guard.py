"""What a foreign client wrote onto the changelog of the calls' state is named and passed over when state is restored.

Quix reads every record there as its own: one without its headers raises at each start, so that nobody could take that
topic partition over again. A value that Quix could not have written would be found by the call whose key it bears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from quixstreams import Application
from quixstreams.state.metadata import (
    CHANGELOG_CF_MESSAGE_HEADER,
    CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER,
    CHANGELOG_TTL_STAMPED_HEADER,
)
from quixstreams.state.recovery import RecoveryPartition

from mmplatform.consumers.quix_app import unprefixed
from mmplatform.events import Position, utc_now
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
_FAMILY: Final = b"default"
"""The one column family that our state lies in."""

Tell = Callable[[ConsumedRecord, str], None]


def guard_changelog(app: Application, settings: Settings, tell: Tell) -> None:
    """Have what does not belong on the changelog told and passed over; its offset counts as restored."""
    manager: Any = app._state_manager._recovery_manager  # noqa: SLF001 - Quix has no hook for this
    made = manager._generate_recovery_partitions  # noqa: SLF001

    def guarded(*args: Any, **more: Any) -> list[RecoveryPartition]:
        found: list[RecoveryPartition] = made(*args, **more)
        for each in found:
            _guard(each, settings, tell)
        return found

    manager._generate_recovery_partitions = guarded  # noqa: SLF001


def _guard(restored: Any, settings: Settings, tell: Tell) -> None:
    inner = restored.recover_from_changelog_message

    def recover(changelog_message: Any) -> None:
        wrong = why_foreign(changelog_message, restored._committed_offsets)  # noqa: SLF001 - what Quix compares with
        if not wrong:
            inner(changelog_message=changelog_message)
            return
        place = Position(
            topic=unprefixed(settings, changelog_message.topic()),
            topic_partition=changelog_message.partition(),
            offset=changelog_message.offset(),
        )
        _log.warning("not of our state: passed over", topic=place.topic, offset=place.offset, reason=wrong)
        tell(ConsumedRecord(place, changelog_message.value(), utc_now()), wrong)
        restored._store_partition.write_changelog_offset(offset=changelog_message.offset())  # noqa: SLF001

    restored.recover_from_changelog_message = recover


def why_foreign(message: Any, committed: Any) -> str:
    """Why a record of the changelog cannot be Quix's own; empty for one that can. Quotes nothing."""
    headers = dict(message.headers() or ())
    family, ttl = headers.get(CHANGELOG_CF_MESSAGE_HEADER), headers.get(CHANGELOG_TTL_STAMPED_HEADER)
    if family != _FAMILY or ttl or not isinstance(message.key(), bytes):
        return "a changelog record without the key and headers of our state"
    value = message.value()
    if value is not None and _json(value) is None:
        return "a changelog record whose value is not JSON"
    offsets = _json(headers.get(CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER, b"{}"))
    sound = isinstance(offsets, dict) and all(isinstance(each, int) for each in offsets.values())
    if not sound or not set(offsets) <= set(committed):
        return "a changelog record whose offsets are of no topic of ours"
    return ""


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None
