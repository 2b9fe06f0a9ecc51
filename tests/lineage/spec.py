"""Whether an event is what OpenLineage's specification asks for.

The specification's schema is in openlineage-python, as the classes that its project generates from the JSON Schema
files; here they are made into JSON Schema again. With MMPLATFORM_TEST_OPENLINEAGE_SPEC set to the folder ``spec`` of a
checkout of OpenLineage, every event is held to those files too.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import types
import typing
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import attr
import jsonschema
from openlineage.client import generated
from openlineage.client.generated import base
from referencing import Registry, Resource

from mmplatform.lineage.offsets import FACET, SCHEMA_ID

PUBLISHED = os.environ.get("MMPLATFORM_TEST_OPENLINEAGE_SPEC", "")
OFFSETS_SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "lineage_offsets.json"
_SIMPLE = {str: "string", int: "integer", bool: "boolean", float: "number"}
_FORMATS = {
    "runId": "uuid",
    "eventTime": "date-time",
    "nominalStartTime": "date-time",
    "nominalEndTime": "date-time",
    **dict.fromkeys(("producer", "schemaURL", "_producer", "_schemaURL", "url"), "uri"),
}
_ALWAYS = {"_producer", "_schemaURL", "producer", "schemaURL"}  # the classes fill these in

formats = jsonschema.FormatChecker(())


@formats.checks("uuid", raises=ValueError)
def _uuid(value):
    return bool(UUID(value))


@formats.checks("date-time", raises=ValueError)
def _moment(value):
    return datetime.fromisoformat(value).tzinfo is not None


@formats.checks("uri", raises=ValueError)
def _uri(value):
    return bool(urlsplit(value).scheme)


def check(event: dict) -> dict:
    """The event again, if it keeps the specification and each of its facets keeps its own."""
    _validator(base.RunEvent).validate(event)
    assert event["schemaURL"] == base.RunEvent._get_schema()
    for slot, facets in _slots(event):
        for key, facet in facets.items():
            _check_facet(slot, key, facet)
    if PUBLISHED:
        _check_published(event)
    return event


def _slots(event):
    yield base.RunFacet, event["run"].get("facets", {})
    yield base.JobFacet, event["job"].get("facets", {})
    for dataset in event.get("inputs", []):
        yield base.DatasetFacet, dataset.get("facets", {})
        yield base.InputDatasetFacet, dataset.get("inputFacets", {})
    for dataset in event.get("outputs", []):
        yield base.DatasetFacet, dataset.get("facets", {})
        yield base.OutputDatasetFacet, dataset.get("outputFacets", {})


def _check_facet(slot, key, facet):
    if facet["_schemaURL"] == SCHEMA_ID:
        assert (key, slot) == (FACET, base.InputDatasetFacet)
        jsonschema.Draft202012Validator(json.loads(OFFSETS_SCHEMA.read_text()), format_checker=formats).validate(facet)
        return
    kind = _kinds()[facet["_schemaURL"]]
    assert key == _key(kind), f"the specification calls it {_key(kind)}, not {key}"
    assert issubclass(kind, slot), f"{key} is no {slot.__name__}"
    _validator(kind).validate(facet)


def _key(kind):
    """The key of a facet: the name of its class without what says where it goes; two are called otherwise."""
    short = re.sub(r"(InputDataset|OutputDataset|Dataset|Job|Run)Facet$", "", kind.__name__)
    odd = {"ProcessingEngine": "processing_engine", "DatasetVersion": "version"}
    return odd.get(short, short[0].lower() + short[1:])


@cache
def _kinds():
    """Every facet of the specification by the address of its schema."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for kind in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, base.BaseFacet):
                found[kind._get_schema()] = kind
    return found


@cache
def _validator(kind):
    definitions = {}
    top = _schema(kind, definitions)
    return jsonschema.Draft202012Validator({**top, "$defs": definitions}, format_checker=formats)


def _schema(kind, definitions):  # noqa: PLR0911 - one for each kind of type
    """The JSON Schema of a type; classes go into ``definitions``, by name."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return {}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if origin is typing.Literal:
        return {"enum": list(parts)}
    if origin in {typing.Union, types.UnionType}:
        found = [_schema(part, definitions) for part in parts if part is not type(None)]
        return found[0] if len(found) == 1 else {"anyOf": found}
    if origin is list:
        return {"type": "array", "items": _schema(parts[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1], definitions)}
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"
    if name not in definitions:
        definitions[name] = {}
        definitions[name] |= _class(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _class(kind, definitions):
    hints = typing.get_type_hints(kind)
    fields = attr.fields(kind)
    properties = {}
    for field in fields:
        properties[field.name] = dict(_schema(hints[field.name], definitions))
        if field.name in _FORMATS:
            properties[field.name]["format"] = _FORMATS[field.name]
    needed = [field.name for field in fields if field.default is attr.NOTHING or field.name in _ALWAYS]
    return {"type": "object", "properties": properties, "required": needed}


@cache
def _published():
    files = [json.loads(path.read_text()) for path in sorted(Path(PUBLISHED).rglob("*.json"))]
    schemas = {file["$id"]: file for file in files if isinstance(file, dict) and "$id" in file and "$schema" in file}
    return schemas, Registry().with_resources((name, Resource.from_contents(file)) for name, file in schemas.items())


def _check_published(event):
    schemas, registry = _published()

    def validate(schema, value):
        jsonschema.Draft202012Validator(schema, registry=registry, format_checker=formats).validate(value)

    validate(schemas[event["schemaURL"].partition("#")[0]], event)
    for _, facets in _slots(event):
        for key, facet in facets.items():
            if facet["_schemaURL"] != SCHEMA_ID:
                schema = schemas[facet["_schemaURL"].partition("#")[0]]
                assert key in schema["properties"], f"the specification calls {key} something else"
                validate(schema, {key: facet})
