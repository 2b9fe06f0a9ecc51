"""The subscriptions behind each table: the consumer groups to check when a table falls behind."""

from __future__ import annotations

from typing import Final

from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    INDEX_GROUP,
    MODALITIES,
    PASSAGES_TABLE,
    QUARANTINE_TABLE,
    QUARANTINE_TOPIC,
)
from resources.stack import Subscription

_ARTIFACTS: Final = Subscription(ARCHIVE_GROUP, ARTIFACTS_TOPIC)
INDEXER: Final = Subscription(INDEX_GROUP, ARTIFACTS_TOPIC)
_DERIVERS: Final = tuple(Subscription(spec.group, spec.topic) for spec in MODALITIES.values())

TABLE_SUBSCRIPTIONS: Final[dict[str, tuple[Subscription, ...]]] = {
    **{spec.raw_table: (Subscription(ARCHIVE_GROUP, spec.topic),) for spec in MODALITIES.values()},
    **{spec.derived_table: (Subscription(spec.group, spec.topic), _ARTIFACTS) for spec in MODALITIES.values()},
    PASSAGES_TABLE: (*_DERIVERS, _ARTIFACTS),
    QUARANTINE_TABLE: (*_DERIVERS, Subscription(ARCHIVE_GROUP, QUARANTINE_TOPIC)),
}
"""By table, in the order of the data's way."""

ASSET_SUBSCRIPTIONS: Final = TABLE_SUBSCRIPTIONS | {"index": (*_DERIVERS, INDEXER)}
"""By asset that the stream fills: the tables, and the index."""
