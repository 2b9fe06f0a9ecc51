"""The word rule: names are the field's standard terms, one meaning each (AGENTS.md has the table)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import MODULES, relative

SHARED_CLASS_NAMES: dict[str, str] = {}
"""Public class names that stand in two modules, each with its reason."""

DIALECT = {
    "anew", "aside", "beside", "gone", "held", "known", "least", "longest", "looked", "looks", "made", "mend", "mends",
    "most", "nobody", "owed", "said", "saying", "somebody", "tell", "telling", "tells", "told", "whoever",
}  # fmt: skip
"""Words of a bound name that have a standard term in the field."""

CLAUSES = {"at", "each", "of", "one", "other", "there", "whole"}
"""Words that are no noun, when they are the whole of a name."""

ALLOWED = {
    ("mmplatform/artifacts.py", "at"): "the discriminator of locators, on the wire and on disk",
    ("mmplatform/cli/ingest.py", "at"): "the option --at",
    ("mmplatform/local/broker/server.py", "connection_made"): "asyncio's",
    ("mmplatform/local/models/minilm_onnx.py", "one"): "the number in the graph",
}
"""Names that must stay, each with its reason."""


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module binds: definitions, parameters, variables, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg) and node.arg != "other":  # Python's word in __eq__ and __add__
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


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


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_bound_names_are_standard_terms(path: Path) -> None:
    found = set(bound_names(ast.parse(path.read_text(encoding="utf-8"))))
    poetic = {(line, name) for line, name in found if words(name) & DIALECT or name.strip("_") in CLAUSES}
    assert sorted((line, name) for line, name in poetic if (relative(path), name) not in ALLOWED) == []


def test_every_exception_to_the_word_rule_is_still_needed() -> None:
    bound = {
        (relative(path), name)
        for path in MODULES
        for _, name in bound_names(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert ALLOWED.keys() - bound == set()
