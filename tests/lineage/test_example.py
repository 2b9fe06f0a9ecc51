"""The example in the docs is an event that the code makes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from openlineage.client.serde import Serde

from mmplatform import __version__
from mmplatform.derive.passages import quarantine
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult
from mmplatform.lineage import facets, landings
from mmplatform.settings import load
from tests.builders import NOW, arrival, chat
from tests.lineage.events import COLUMNS, RecordingSink, placed
from tests.lineage.spec import check

DOCS = Path(__file__).parents[2] / "docs"
PAGE, EXAMPLE = DOCS / "reference" / "lineage.md", DOCS / "reference" / "lineage-example.json"
WIDE = 110


def example(monkeypatch):
    """Two chats were set aside, and landed."""
    runs = iter(("0d8a6c0e-7f5e-4c1a-9d53-0c6f3a5b7e10", "5b0b2c1e-3f7a-4b58-8f6f-2f9f0c7a1d42"))
    times = iter((NOW, NOW + timedelta(seconds=0.25)))
    monkeypatch.setattr(landings, "utc_now", lambda: next(times))
    monkeypatch.setattr(landings.uuid, "uuid4", lambda: next(runs))
    monkeypatch.setattr(facets, "own_code_version", lambda: None)
    sink = RecordingSink()
    lineage = landings.StreamLineage(
        load(kafka_bootstrap_servers="kafka:9092", iceberg_warehouse="s3://lake/warehouse"),
        COLUMNS,
        sink,
        engine="3.28.1",
    )
    rows = [
        placed(quarantine(arrival(chat(n)), contract="raw_chats", reasons=["text: text not blank"]), n, "quarantine")
        for n in (41, 42)
    ]
    location = "s3://lake/warehouse/mmplatform/quarantine"
    with lineage.landing("quarantine", [row for _, row in rows]) as report:
        report(CommitResult(rows=2, size=9134, files=1, snapshot_id=4131829137215493121, location=location))
    return check(Serde.to_dict(sink.events[-1]))


LEFT_OUT = {"_producer", "_schemaURL", "schema", "catalog", "columnLineage"}


def without(value, keys):
    """What everyone knows is left out of the page."""
    if isinstance(value, dict):
        return {key: without(each, keys) for key, each in value.items() if key not in keys}
    return [without(each, keys) for each in value] if isinstance(value, list) else value


def shown(value, indent=""):
    """JSON in which what fits a line stands on one."""
    line = json.dumps(value)
    if len(indent) + len(line) <= WIDE or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        parts, (left, right) = [shown(each, inner) for each in value], "[]"
    else:
        parts, (left, right) = [f"{json.dumps(key)}: {shown(each, inner)}" for key, each in value.items()], "{}"
    return left + ",".join(f"\n{inner}{part}" for part in parts) + f"\n{indent}{right}"


def of_any_version(text):
    version = f'"openlineageAdapterVersion": "{__version__}"'
    return text.replace(facets.PRODUCER, facets.PRODUCER.replace(__version__, "VERSION")).replace(
        version, version.replace(__version__, "VERSION")
    )


def test_the_example_is_what_is_sent(monkeypatch):
    text = of_any_version(shown(example(monkeypatch))) + "\n"
    assert EXAMPLE.read_text() == text, f"docs/reference/lineage-example.json must be:\n{text}"


def test_the_page_shows_the_example_without_what_is_long(monkeypatch):
    text = of_any_version(shown(without(example(monkeypatch), LEFT_OUT)))
    assert f"```json\n{text}\n```" in PAGE.read_text(), f"docs/reference/lineage.md must show:\n{text}"
