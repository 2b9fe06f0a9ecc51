"""The column lineage is data: here it is held to the tables, and to rows that really were derived."""

from __future__ import annotations

import pytest

from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.passages import quarantine
from mmplatform.events import MODALITY_BY_KIND
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.lineage.columns import COLUMN_SOURCES, COLUMNS_WITHOUT_SOURCE
from mmplatform.memo import SqliteMemo
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE, TABLES
from mmplatform.ports import Redacted
from tests.builders import arrival, call_end, chat, chunk, position, screenshot
from tests.doubles.embedder import SeededEmbedder

RAW = {spec.raw_table for spec in MODALITIES.values()}


def columns(table):
    return {name for name, _ in SPECS[table].columns}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_derived_table_comes_from_somewhere_or_is_its_own(table):
    if table in RAW:
        assert table not in COLUMN_SOURCES
        return
    for source, found in COLUMN_SOURCES[table].items():
        assert set(found) | COLUMNS_WITHOUT_SOURCE[table] == columns(table), f"from {source}"
        assert set(found) & COLUMNS_WITHOUT_SOURCE[table] == set()


@pytest.mark.parametrize("table", COLUMN_SOURCES)
def test_every_origin_is_a_column_of_its_table(table):
    for source, found in COLUMN_SOURCES[table].items():
        origins = {origin.column for each in found.values() for origin in each}
        assert origins <= columns(source), source
        assert all(found.values())


def test_what_is_derived_leads_back_to_the_raw_tables():
    for spec in MODALITIES.values():
        assert list(COLUMN_SOURCES[spec.derived_table]) == [spec.raw_table]
    assert set(COLUMN_SOURCES["passages"]) == {spec.derived_table for spec in MODALITIES.values()}


def identical(table, source):
    return {
        column: origin.column
        for column, found in COLUMN_SOURCES[table][source].items()
        for origin in found
        if origin.transformation == "IDENTITY"
    }


def compare(row, table, source_row, source):
    for column, origin in identical(table, source).items():
        assert row[column] == source_row[origin], f"{table}.{column} from {source}.{origin}"


class Hiding:
    """A redactor that hides everything."""

    name, version = "hiding", "1"

    def redact(self, texts, *, spoken=False):
        del spoken
        return [Redacted("[hidden]", ("NAME",), ((0, len(text)),)) for text in texts]


def test_columns_said_to_be_the_same_are_the_same(tmp_path):
    event = chat(1, source="crm")
    derived = ChatDeriver(SeededEmbedder(), Hiding(), SqliteMemo(tmp_path / "memo.sqlite")).derive([arrival(event, 7)])
    (_, raw), *rows = [record_to_row(record, position(7)) for record in (event, *derived.artifacts)]
    (message_table, message), (passage_table, passage) = rows
    compare(message, message_table, raw, "raw_chats")
    compare(passage, passage_table, message, "messages")
    assert message["text"] != raw["text"], "what is masked is not the same"


@pytest.mark.parametrize("event", [chat(), chunk(), call_end(), screenshot()], ids=lambda event: event.kind)
def test_a_quarantined_row_keeps_who_and_when(event):
    source, raw = record_to_row(event, position(3))
    assert source == MODALITIES[MODALITY_BY_KIND[event.kind]].raw_table
    _, row = record_to_row(quarantine(arrival(event), contract=source, reasons=["text: text not blank"]), position(3))
    compare(row, QUARANTINE_TABLE, raw, source)
