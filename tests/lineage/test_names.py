from __future__ import annotations

import pytest

from assets import all_specs
from assets.index import INDEX
from mmplatform.land.lakehouse.catalog import catalog_properties
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.lineage import names
from mmplatform.lineage.names import LineageName
from mmplatform.modalities import TABLES
from mmplatform.settings import load

REST = "rest+https://user:secret@catalog.example:8181/v1?x=y"


def test_one_name_for_each_table_is_asset_key_iceberg_table_and_dataset(tmp_path):
    settings = load(data_dir=tmp_path)
    lakehouse = Lakehouse.open(settings)
    lakehouse.ensure_tables()
    iceberg = {lakehouse.table(name).name()[-1] for name in TABLES}
    datasets = {names.asset(settings, name).name for name in TABLES}
    keys = {spec.key.to_user_string() for spec in all_specs()} - {INDEX}
    assert datasets == iceberg == keys
    assert names.INDEX == INDEX


def test_a_dataset_lies_where_its_files_do(tmp_path):
    settings = load(data_dir=tmp_path)
    lakehouse = Lakehouse.open(settings)
    lakehouse.ensure_tables()
    stored = names.file_location(lakehouse.table("messages").location())
    assert stored == LineageName("file", f"{tmp_path}/lakehouse/warehouse/mmplatform/messages")
    assert names.table(settings, "messages") == LineageName(
        f"file://{tmp_path}/lakehouse/warehouse/mmplatform", "messages"
    )
    assert catalog_properties(settings)["warehouse"] == settings.warehouse_location


@pytest.mark.parametrize(
    ("given", "namespace"),
    [
        ({"iceberg_warehouse": "s3://bucket/lake/"}, "s3://bucket/lake/mmplatform"),
        ({"iceberg_warehouse": "/lake house", "iceberg_namespace": "eu"}, "file:///lake%20house/eu"),
        ({"iceberg_catalog": "glue://", "iceberg_warehouse": "s3://bucket"}, "s3://bucket/mmplatform"),
        ({"iceberg_catalog": REST, "iceberg_warehouse": "wh"}, "https://catalog.example:8181/v1/wh/mmplatform"),
        ({"iceberg_catalog": REST, "iceberg_warehouse": "s3://bucket"}, "https://catalog.example:8181/v1/mmplatform"),
    ],
)
def test_the_namespace_is_the_warehouse_or_the_rest_catalog(given, namespace):
    assert names.table(load(**given), "raw_chats") == LineageName(namespace, "raw_chats")


def test_engines_that_know_a_catalog_find_the_table_by_its_other_name():
    settings = load(iceberg_warehouse="s3://bucket/lake")
    assert names.table_in_catalog(settings, "raw_chats") == LineageName("s3://bucket/lake", "mmplatform.raw_chats")


def test_no_secret_is_in_a_name():
    for given in ({"iceberg_catalog": REST}, {"iceberg_catalog": "postgresql+psycopg2://user:secret@db/lake"}):
        settings = load(**given)
        assert "secret" not in repr((names.catalog(settings), names.table(settings, "captions")))
    assert names.catalog(settings).uri == "postgresql+psycopg2://db/lake"


def test_topics_are_named_by_the_first_broker_and_by_their_name_there():
    settings = load(kafka_bootstrap_servers="one:9092, two:9092", topic_prefix="eu.")
    assert names.topic(settings, "artifacts") == LineageName("kafka://one:9092", "eu.artifacts")


def test_what_only_dagster_knows_is_in_the_namespace_of_the_jobs():
    settings = load(chroma_url="http://chroma:8000", openlineage_namespace="eu-support")
    assert names.asset(settings, "index") == LineageName("chroma://chroma:8000", "index")
    assert names.asset(settings, "report/weekly") == LineageName("eu-support", "report/weekly")
    assert names.job(settings, "archive", "messages") == LineageName("eu-support", "archive.messages")


def test_the_topic_of_lineage_has_the_prefix_too():
    assert names.lineage_topic(load(openlineage_url="kafka", topic_prefix="eu.")) == "eu.openlineage"
    assert names.lineage_topic(load(openlineage_url="kafka:told")) == "told"
    assert names.lineage_topic(load(openlineage_url="http://kafka:1")) == ""
    assert names.lineage_topic(load()) == ""
