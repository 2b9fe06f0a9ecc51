"""Refuses a breaking change of the records on the log: the schemas of the code against the committed ones.

    python tools/schema_compatibility.py [REVISION]

Breaking is what makes a reader of the older release or of the newer one misread a record: a field that is gone, has
another type or a narrower set of values, a new required field, a kind that is gone. A raised ``schema_version`` allows
everything: then there must be an upcaster (``mmplatform/upcast.py``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mmplatform.cli.schemas import schemas

ROOT: Final = Path(__file__).resolve().parents[1]
_BOUNDS: Final = {"maxLength": -1, "maximum": -1, "maxItems": -1, "minLength": 1, "minimum": 1, "minItems": 1}
"""Bounds, and the direction in which a change narrows: -1 when lower, 1 when higher."""

Schema = Mapping[str, Any]


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Changes from one schema of a topic to another that break a reader, as sentences."""
    old_kinds, new_kinds = dict(_kinds(old)), dict(_kinds(new))
    found = [f"{kind} is gone" for kind in old_kinds if kind not in new_kinds]
    for kind in old_kinds.keys() & new_kinds.keys():
        before, after = old_kinds[kind], new_kinds[kind]
        if _major(before) == _major(after):
            found += _object_changes(kind, (before, old), (after, new))
    return sorted(found)


def committed(name: str, revision: str) -> Schema | None:
    """The schema of a topic in a revision; None where it had none."""
    shown = subprocess.run(
        ["git", "show", f"{revision}:docs/schemas/{name}.json"], cwd=ROOT, capture_output=True, check=False
    )
    found: Schema | None = json.loads(shown.stdout) if shown.returncode == 0 else None
    return found


def _kinds(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Records of a topic by kind."""
    variants = schema.get("oneOf") or schema.get("anyOf") or [schema]
    for variant in variants:
        record = _resolve(variant, schema)
        kind = record.get("properties", {}).get("kind", {}).get("const", record.get("title", ""))
        yield str(kind), record


def _object_changes(where: str, before: tuple[Schema, Schema], after: tuple[Schema, Schema]) -> Iterator[str]:
    (old, old_root), (new, new_root) = before, after
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    for name in old_fields.keys() - new_fields.keys():
        yield f"{where}.{name} is gone"
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{where}.{name} is required now"
    for name in old_fields.keys() & new_fields.keys():
        one, other = _resolve(old_fields[name], old_root), _resolve(new_fields[name], new_root)
        yield from _value_changes(f"{where}.{name}", (one, old_root), (other, new_root))


def _value_changes(where: str, before: tuple[Schema, Schema], after: tuple[Schema, Schema]) -> Iterator[str]:
    (old, old_root), (new, new_root) = before, after
    if _types(old, old_root) - _types(new, new_root):
        yield f"{where} has another type"
    if set(old.get("enum", ())) - set(new.get("enum", old.get("enum", ()))):
        yield f"{where} has fewer values"
    if "const" in old and new.get("const", old["const"]) != old["const"]:
        yield f"{where} has another value"
    for bound, direction in _BOUNDS.items():
        if bound in new and (bound not in old or (new[bound] - old[bound]) * direction > 0):
            yield f"{where} has a narrower {bound}"
    if "properties" in old and "properties" in new:
        yield from _object_changes(where, before, after)
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        items = (_resolve(old["items"], old_root), old_root), (_resolve(new["items"], new_root), new_root)
        yield from _value_changes(f"{where}[]", *items)


def _types(schema: Schema, root: Schema) -> set[str]:
    """JSON types that a value may have."""
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        return {kind for variant in variants for kind in _types(_resolve(variant, root), root)}
    kind = schema.get("type", "")
    return set(kind) if isinstance(kind, list) else {str(kind)}


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref", "")
    if not reference:
        return schema
    found: Schema = root["$defs"][reference.rsplit("/", 1)[-1]]
    return found


def _major(record: Schema) -> object:
    return record.get("properties", {}).get("schema_version", {}).get("const")


def main() -> int:
    """Exit code 1 with the breaking changes, 0 without any."""
    revision = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    broken = [
        f"{name}: {change}"
        for name, schema in schemas().items()
        if (before := committed(name, revision)) is not None
        for change in breaking_changes(before, schema)
    ]
    for change in broken:
        print(f"breaking: {change}", file=sys.stderr)
    if broken:
        print("raise schema_version and write an upcaster (mmplatform/upcast.py), or keep the field", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
