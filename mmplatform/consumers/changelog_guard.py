"""Changelog guard: reports and skips records of foreign clients when the state of calls and chats is restored.

Quix restores every record as its own. One without Quix's headers raises at each start, so that no worker could take the
topic partition over again. A value that Quix did not write would reach the call that has its key.
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

from mmplatform.consumers.batch_sink import log_position
from mmplatform.events import utc_now
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
_COLUMN_FAMILY: Final = b"default"
"""The only column family of the state of calls and chats."""

ReportForeign = Callable[[ConsumedRecord, str], None]


def guard_changelog(app: Application, settings: Settings, report: ReportForeign) -> None:
    """Report and skip foreign records of the changelog; their offsets count as restored."""
    manager: Any = app._state_manager._recovery_manager  # noqa: SLF001 - Quix has no hook for this
    generate = manager._generate_recovery_partitions  # noqa: SLF001

    def guarded(*args: Any, **kwargs: Any) -> list[RecoveryPartition]:
        partitions: list[RecoveryPartition] = generate(*args, **kwargs)
        for partition in partitions:
            _guard_partition(partition, settings, report)
        return partitions

    manager._generate_recovery_partitions = guarded  # noqa: SLF001


def _guard_partition(partition: Any, settings: Settings, report: ReportForeign) -> None:
    inner = partition.recover_from_changelog_message

    def recover(changelog_message: Any) -> None:
        reason = foreign_reason(changelog_message, partition._committed_offsets)  # noqa: SLF001 - Quix's own check
        if not reason:
            inner(changelog_message=changelog_message)
            return
        position = log_position(
            settings, changelog_message.topic(), changelog_message.partition(), changelog_message.offset()
        )
        _log.warning("foreign changelog record skipped", topic=position.topic, offset=position.offset, reason=reason)
        report(ConsumedRecord(position, changelog_message.value(), utc_now()), reason)
        partition._store_partition.write_changelog_offset(offset=changelog_message.offset())  # noqa: SLF001

    partition.recover_from_changelog_message = recover


def foreign_reason(message: Any, committed: Any) -> str:
    """Reason why a changelog record cannot be Quix's own; empty for one that can. Quotes nothing."""
    headers = dict(message.headers() or ())
    family, ttl = headers.get(CHANGELOG_CF_MESSAGE_HEADER), headers.get(CHANGELOG_TTL_STAMPED_HEADER)
    if family != _COLUMN_FAMILY or ttl or not isinstance(message.key(), bytes):
        return "a changelog record without the key and headers of Quix state"
    value = message.value()
    if value is not None and _json(value) is None:
        return "a changelog record whose value is not JSON"
    offsets = _json(headers.get(CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER, b"{}"))
    valid = isinstance(offsets, dict) and all(isinstance(offset, int) for offset in offsets.values())
    if not valid or not set(offsets) <= set(committed):
        return "a changelog record with offsets of a topic that is not consumed"
    return ""


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None
