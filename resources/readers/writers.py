"""Who must have read what before a row is in a table: where to look when a table falls behind."""

from __future__ import annotations

from typing import Final

from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    MODALITIES,
    PASSAGES_TABLE,
    QUARANTINE_TABLE,
    QUARANTINE_TOPIC,
)
from resources.stack import Reader

_ARTIFACTS: Final = Reader(ARCHIVE_GROUP, ARTIFACTS_TOPIC)
_DERIVERS: Final = tuple(Reader(spec.group, spec.topic) for spec in MODALITIES.values())

WRITERS: Final[dict[str, tuple[Reader, ...]]] = {
    **{spec.raw_table: (Reader(ARCHIVE_GROUP, spec.topic),) for spec in MODALITIES.values()},
    **{spec.derived_table: (Reader(spec.group, spec.topic), _ARTIFACTS) for spec in MODALITIES.values()},
    PASSAGES_TABLE: (*_DERIVERS, _ARTIFACTS),
    QUARANTINE_TABLE: (*_DERIVERS, Reader(ARCHIVE_GROUP, QUARANTINE_TOPIC)),
}
"""The readers behind each table, in the order of the data's way."""
