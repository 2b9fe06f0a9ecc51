"""``mmplatform schemas``: write the records' JSON Schemas to files, for clients in other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmplatform.cli.app import app


@app.command("schemas")
def write_schemas(
    out: Annotated[Path, typer.Option(help="Directory to write them into.")] = Path("docs/schemas"),
) -> None:
    """Write the JSON Schema of events, artifacts, progress, quarantine, dead letters, and the lineage facet."""
    from rich.console import Console

    out.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        path = out / f"{name}.json"
        path.write_text(schema_text(schema), encoding="utf-8")
        Console(stderr=True).print(str(path), highlight=False)


def schemas() -> dict[str, dict[str, Any]]:
    """Schemas by name: one for each kind of record on the log, and one for the lineage facet."""
    from mmplatform.artifacts import artifact_schema
    from mmplatform.events import event_schema
    from mmplatform.lineage.offsets import LogOffsets
    from mmplatform.progress import progress_schema
    from mmplatform.refusals import DeadLetter, quarantine_schema

    titled = {
        "events": ("Event on an interactions topic", event_schema()),
        "artifacts": ("Artifact on the artifacts topic", artifact_schema()),
        "quarantined": ("Record on the quarantine topic", quarantine_schema()),
        "progress": ("Record on the progress topic", progress_schema()),
        "dead_letters": ("Record on the dead-letters topic", DeadLetter.model_json_schema()),
        "lineage_offsets": ("Facet mmplatform_logOffsets of an OpenLineage input", LogOffsets.model_json_schema()),
    }
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {name: {"$schema": draft} | schema | {"title": title} for name, (title, schema) in titled.items()}


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as in its file, with sorted keys for stable diffs."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
