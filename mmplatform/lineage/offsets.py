"""The platform's own facet: the topic offsets of a landing. Its JSON Schema is docs/schemas/lineage_offsets.json.

OpenLineage has no facet for offsets, and asks that custom facets have a prefix in their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ConfigDict, Field

from mmplatform.events import NonNegativeInt64, Record

FACET: Final = "mmplatform_logOffsets"
SCHEMA_ID: Final = "urn:mmplatform:lineage:log-offsets:1"


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Offsets of the first and last row of a topic partition, and the number of rows."""

    first: int
    last: int
    rows: int = 1

    def including(self, offset: int) -> OffsetSpan:
        """The span with one more row."""
        return OffsetSpan(min(self.first, offset), max(self.last, offset), self.rows + 1)


class TopicPartitionOffsets(Record):
    """Offsets of one topic partition."""

    model_config = ConfigDict(populate_by_name=True)

    topic_partition: NonNegativeInt64 = Field(alias="topicPartition")
    first: NonNegativeInt64 = Field(description="offset of the first row")
    last: NonNegativeInt64 = Field(description="offset of the last row; not every offset between them need be a row")
    rows: NonNegativeInt64 = Field(description="how many rows came from here, those that had landed before included")


class LogOffsets(Record):
    """Offsets of a Kafka topic in a landing."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"$id": SCHEMA_ID})

    producer: str = Field(alias="_producer")
    schema_url: str = Field(alias="_schemaURL")
    topic_partitions: tuple[TopicPartitionOffsets, ...] = Field(alias="topicPartitions", min_length=1)


def log_offsets(spans: Mapping[int, OffsetSpan], producer: str) -> dict[str, Any]:
    """The facet as it is sent; ``spans`` are by topic partition."""
    parts = tuple(
        TopicPartitionOffsets(topic_partition=number, first=span.first, last=span.last, rows=span.rows)
        for number, span in sorted(spans.items())
    )
    facet = LogOffsets(producer=producer, schema_url=SCHEMA_ID, topic_partitions=parts)
    return facet.model_dump(mode="json", by_alias=True)
