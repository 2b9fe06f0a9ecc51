"""Tables of the lakehouse: their columns, in a permanent order, and their partitioning.

A column's position gives its Iceberg field id in a new table; one that is added to a table later gets the next free id
there. Ids are never changed or reused, so columns are only added at the end; a test holds the order.
Fields for analysts have columns of their own; ``record`` is the whole record as JSON, from which it can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mmplatform.buckets import BUCKET_COUNT
from mmplatform.errors import Misconfigured

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema

_FIRST_PARTITION_FIELD_ID: Final = 1000

TABLE_PROPERTIES: Final = {
    # Each commit writes a metadata file; without this they would be retained for ever.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    # One manifest a commit would make every scan open thousands.
    "commit.manifest-merge.enabled": "true",
    "write.parquet.compression-codec": "zstd",
    # Ten attempts within 10 s: the default doubles its wait to a minute, and the archiver's lag would grow with it.
    "commit.retry.num-retries": "10",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "2000",
}

Columns = tuple[tuple[str, str], ...]

_IDENTITY_COLUMNS: Final[Columns] = (
    ("tenant", "string"),
    ("source", "string"),
    ("conversation_id", "string"),
    ("subject_id", "string"),
    ("subject_key", "string"),
)
_POSITION_COLUMNS: Final[Columns] = (
    ("topic", "string"),
    ("topic_partition", "long"),
    ("log_offset", "long"),
    ("log_generation", "long"),
    ("logged_at", "timestamptz"),
)
VERSION_COLUMN: Final = "version"
_VERSION: Final = (VERSION_COLUMN, "string")
_BLOB_COLUMNS: Final[Columns] = (
    ("blob_key", "string"),
    ("blob_sha256", "string"),
    ("blob_size", "long"),
    ("blob_media_type", "string"),
)
_LANGUAGE_COLUMNS: Final[Columns] = (
    ("language", "string"),
    ("language_confidence", "double"),
    ("redaction_coverage", "string"),
)
_EVENT_COLUMNS: Final[Columns] = (
    # Of two events with one identity and another content both are kept: one of them is a conflict.
    ("raw_id", "string"),
    ("event_uid", "string"),
    ("event_id", "string"),
    *_IDENTITY_COLUMNS,
    ("event_time", "timestamptz"),
    ("ingested_at", "timestamptz"),
    ("kind", "string"),
    ("schema_version", "long"),
    *_POSITION_COLUMNS,
    ("record", "string"),
)
_ARTIFACT_COLUMNS: Final[Columns] = (
    ("artifact_id", "string"),
    _VERSION,
    *_IDENTITY_COLUMNS,
    ("event_time", "timestamptz"),
    ("ingested_at", "timestamptz"),
    ("taken_at", "timestamptz"),
    ("derived_at", "timestamptz"),
    ("modality", "string"),
    ("event_ids", "list<string>"),
    ("event_uids", "list<string>"),
    ("deriver", "string"),
    ("deriver_version", "string"),
    ("model", "string"),
    ("model_version", "string"),
    ("seconds", "double"),
    ("memo_hit", "boolean"),
    ("schema_version", "long"),
    *_POSITION_COLUMNS,
    ("record", "string"),
)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table; ``id_column`` identifies a row.

    Of several rows with one id the one with the highest version counts; rows of raw tables have no version and differ
    in nothing but their position.
    """

    name: str
    id_column: str
    columns: Columns

    @property
    def versioned(self) -> bool:
        """True when its rows have versions."""
        return _VERSION in self.columns

    def schema(self) -> Schema:
        """The Iceberg schema, with field ids by column position."""
        from pyiceberg.schema import Schema
        from pyiceberg.types import (
            BooleanType,
            DoubleType,
            FloatType,
            ListType,
            LongType,
            NestedField,
            StringType,
            TimestamptzType,
        )

        simple = {
            "string": StringType(),
            "long": LongType(),
            "double": DoubleType(),
            "boolean": BooleanType(),
            "timestamptz": TimestamptzType(),
        }
        fields = []
        for column_number, (name, kind) in enumerate(self.columns, start=1):
            elements = {"list<string>": StringType(), "list<float>": FloatType()}
            found = (
                ListType(element_id=500 + column_number, element=elements[kind], element_required=False)
                if kind in elements
                else simple[kind]
            )
            fields.append(NestedField(field_id=column_number, name=name, field_type=found, required=False))
        return Schema(*fields)

    def partitioning(self) -> PartitionSpec:
        """By hour of the event, for reprocessing, and by bucket of the subject, for erasure."""
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.transforms import BucketTransform, HourTransform

        ids = {name: column_number for column_number, (name, _) in enumerate(self.columns, start=1)}
        return PartitionSpec(
            PartitionField(ids["event_time"], _FIRST_PARTITION_FIELD_ID, HourTransform(), "event_hour"),
            PartitionField(
                ids["subject_key"], _FIRST_PARTITION_FIELD_ID + 1, BucketTransform(BUCKET_COUNT), "subject_bucket"
            ),
        )


_SPECS: Final = (
    TableSpec("raw_chats", "raw_id", (*_EVENT_COLUMNS, ("role", "string"), ("text", "string"))),
    TableSpec(
        "raw_calls",
        "raw_id",
        (
            *_EVENT_COLUMNS,
            ("chunk_index", "long"),
            ("start_s", "double"),
            ("duration_s", "double"),
            ("sample_rate", "long"),
            ("channels", "long"),
            ("reason", "string"),
            *_BLOB_COLUMNS,
        ),
    ),
    TableSpec("raw_screenshots", "raw_id", (*_EVENT_COLUMNS, ("width", "long"), ("height", "long"), *_BLOB_COLUMNS)),
    TableSpec(
        "messages",
        "artifact_id",
        (
            *_ARTIFACT_COLUMNS,
            ("role", "string"),
            ("text", "string"),
            ("redaction_policy", "string"),
            *_LANGUAGE_COLUMNS,
        ),
    ),
    TableSpec(
        "transcripts",
        "artifact_id",
        (
            *_ARTIFACT_COLUMNS,
            ("call_id", "string"),
            ("channel", "long"),
            ("speaker", "string"),
            ("start_s", "double"),
            ("end_s", "double"),
            ("text", "string"),
            ("language", "string"),
            ("confidence", "double"),
            ("no_speech", "double"),
            ("status", "string"),
            ("redaction_policy", "string"),
            ("language_confidence", "double"),
            ("reason", "string"),
            ("redaction_coverage", "string"),
        ),
    ),
    TableSpec(
        "captions",
        "artifact_id",
        (
            *_ARTIFACT_COLUMNS,
            ("text", "string"),
            ("captioner", "string"),
            ("image_sha256", "string"),
            ("width", "long"),
            ("height", "long"),
            ("content_id", "string"),
            ("redaction_policy", "string"),
            *_LANGUAGE_COLUMNS,
        ),
    ),
    TableSpec(
        "passages",
        "artifact_id",
        (
            *_ARTIFACT_COLUMNS,
            ("source_artifact_id", "string"),
            ("source_kind", "string"),
            ("ordinal", "long"),
            ("text", "string"),
            ("embedder", "string"),
            ("vector", "list<float>"),
            ("redaction_policy", "string"),
            ("language", "string"),
            ("redaction_coverage", "string"),
        ),
    ),
    TableSpec("retractions", "artifact_id", (*_ARTIFACT_COLUMNS, ("reason", "string"))),
    TableSpec(
        "quarantine",
        "quarantine_id",
        (
            ("quarantine_id", "string"),
            _VERSION,
            ("event_uid", "string"),
            *_IDENTITY_COLUMNS,
            ("event_time", "timestamptz"),
            ("quarantined_at", "timestamptz"),
            ("modality", "string"),
            ("event_id", "string"),
            ("kind", "string"),
            ("contract", "string"),
            ("reasons", "list<string>"),
            ("schema_version", "long"),
            *_POSITION_COLUMNS,
            ("record", "string"),
        ),
    ),
)
SPECS: Final[dict[str, TableSpec]] = {spec.name: spec for spec in _SPECS}


def check_release(table: str, columns: Collection[str]) -> None:
    """Return when a table is of format 2 or newer. Raises Misconfigured, with the cure."""
    if "subject_key" not in columns:
        raise Misconfigured(
            f"table {table} was created by an older release, whose rows have format 1: set another "
            "MMPLATFORM_ICEBERG_NAMESPACE, then take the old log over with `mmplatform migrate`"
        )
