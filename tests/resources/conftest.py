"""A real Iceberg table in files, with a catalog on SQLite."""

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import IntegerType, NestedField, TimestamptzType


@pytest.fixture
def table(tmp_path):
    catalog = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    yield catalog.create_table(
        "n.messages",
        Schema(NestedField(1, "event_hour", IntegerType()), NestedField(2, "event_time", TimestamptzType())),
        partition_spec=PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "event_hour")),
    )
    catalog.close()
