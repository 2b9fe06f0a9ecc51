"""The schema of every table as it was published: adding a column is allowed, changing or taking one away is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import TABLES
from mmplatform.settings import load

FROZEN = json.loads(Path(__file__).with_name("field_ids.json").read_text())


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory):
    opened = Lakehouse.open(load(data_dir=tmp_path_factory.mktemp("lakehouse")))
    opened.ensure_tables()
    return opened


def published(lakehouse, table):
    return {field.name: [field.field_id, str(field.field_type)] for field in lakehouse.table(table).schema().fields}


def test_every_table_is_frozen():
    assert set(FROZEN) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_no_field_changes_its_id_or_type(lakehouse, table):
    """To publish a new column, add it to the end of its table here too."""
    now = published(lakehouse, table)
    assert {name: now.get(name) for name in FROZEN[table]} == FROZEN[table]
    added = set(now) - set(FROZEN[table])
    assert not added, f"freeze the new columns of {table}: {sorted(added)}"
