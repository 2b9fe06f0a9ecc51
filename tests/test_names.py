"""The word rule: names are the field's standard terms, one meaning each (AGENTS.md has the table)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import BENCHMARKS, MODULES, ROOT, relative

SHARED_CLASS_NAMES: dict[str, str] = {}
"""Public class names that stand in two modules, each with its reason."""

INFLECTIONS = {
    "asked", "asks", "beginnings", "looked", "looking", "looks", "marked", "marks", "mends", "nobody", "owed", "placed",
    "places", "saying", "says", "somebody", "taken", "takes", "taking", "telling", "tells", "took", "whoever",
}  # fmt: skip
"""Other forms of the table's words, and persons who are no actors."""


def table_words(page: str) -> tuple[set[str], set[str]]:
    """The words that AGENTS.md bans from names, and those that it bans as the whole of a name."""
    rows = re.findall(r"^\| (`.*?) \| .* \|$", page.partition("\n## Words\n")[2], re.MULTILINE)
    banned: set[str] = set()
    whole: set[str] = set()
    for row in rows:
        target = whole if "as a whole name" in row else banned
        target.update(word for word in re.findall(r"`([^`]+)`", row) if word.isalpha())
    return banned, whole


BANNED, WHOLE = table_words((ROOT / "AGENTS.md").read_text(encoding="utf-8"))
DIALECT = (BANNED - {"there"}) | INFLECTIONS
"""Words of a bound name that have a standard term in the field."""

CLAUSES = WHOLE | {"there"}
"""Words that are no noun, when they are the whole of a name."""

ALLOWED = {
    ("mmplatform/locators.py", "at"): "the discriminator of locators, on the wire and on disk",
    ("mmplatform/artifacts.py", "taken_at"): "a field of the records, on the wire and on disk",
    ("mmplatform/cli/ingest.py", "at"): "the option --at",
    ("mmplatform/local/broker/server.py", "connection_made"): "asyncio's",
    ("mmplatform/local/models/minilm_onnx.py", "one"): "the number in the graph",
    ("mmplatform/local/run_file.py", "asked"): "a field of the run file, on disk",
    ("mmplatform/retrieve/search/search.py", "took_ms"): "a field of the answer, on the wire",
}
"""Names that must stay, each with its reason."""

PENDING = {
    ("mmplatform/derive/call/dedup.py", "marks"),
    ("mmplatform/derive/call/reassembly.py", "_mark_gap"),
    ("mmplatform/derive/call/state.py", "kept"),
    ("mmplatform/derive/call/state.py", "marks"),
    ("mmplatform/derive/call/state.py", "taken"),
    ("mmplatform/derive/layout/captioner.py", "largest"),
    ("mmplatform/ingest/backpressure.py", "was_behind"),
    ("mmplatform/ingest/backpressure_policy.py", "is_behind"),
    ("mmplatform/ingest/backpressure_policy.py", "was_behind"),
    ("mmplatform/land/lakehouse/maintenance/compaction.py", "asked"),
    ("mmplatform/pipeline/consumed_record.py", "taken_at"),
    ("mmplatform/pipeline/process.py", "taken_at"),
}
"""Names that are not renamed yet: their rooms change at this moment. A renamed one must leave this list."""


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module binds: definitions, parameters, variables, fields, aliases, caught errors, captures."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) if name != "other":  # Python's word in __eq__ and __add__
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield node.lineno, name


def words(name: str) -> set[str]:
    """The words of a name, from snake case and camel case alike."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_no_two_modules_define_the_same_public_class() -> None:
    defined = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(relative(path))
    shared = {name: paths for name, paths in defined.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SHARED_CLASS_NAMES} == {}
    assert SHARED_CLASS_NAMES.keys() <= shared.keys(), "an exception that is no longer needed"


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=relative)
def test_bound_names_are_standard_terms(path: Path) -> None:
    found = set(bound_names(ast.parse(path.read_text(encoding="utf-8"))))
    poetic = {(line, name) for line, name in found if words(name) & DIALECT or name.strip("_") in CLAUSES}
    exceptions = ALLOWED.keys() | PENDING
    assert sorted((line, name) for line, name in poetic if (relative(path), name) not in exceptions) == []


def test_every_exception_to_the_word_rule_is_still_needed() -> None:
    bound = {
        (relative(path), name)
        for path in MODULES
        for _, name in bound_names(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert (ALLOWED.keys() | PENDING) - bound == set()


def test_the_words_come_from_the_table_of_the_house() -> None:
    assert {"most", "kept", "behind", "look", "ask", "take", "place", "mark", "beginning", "largest"} <= BANNED
    assert {"each", "at", "of", "one", "other", "whole"} == WHOLE
    assert "gap_marker" not in BANNED


@pytest.mark.parametrize(
    "source",
    [
        "import os as told",
        "from os import path as told",
        "try: ...\nexcept OSError as told: ...",
        "match x:\n  case [1, *told]: ...",
        "match x:\n  case {'a': 1, **told}: ...",
        "match x:\n  case int() as told: ...",
        "match x:\n  case told: ...",
        "for told in x: ...",
        "def f(*, told): ...",
        "class A:\n  told: int",
    ],
)
def test_every_way_to_bind_a_name_is_seen(source: str) -> None:
    assert "told" in {name for _, name in bound_names(ast.parse(source))}
