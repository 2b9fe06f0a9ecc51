"""Docstrings name what exists: every entry of ``Attributes:`` is a field, every entry of ``Args:`` a parameter."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import BENCHMARKS, MODULES, ROOT, relative

PENDING: dict[tuple[str, str], set[str]] = {}
"""Entries that name nothing yet, by module and class or function: their rooms change at this moment."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def entries(docstring: str, section: str) -> list[str]:
    """The names that a section of a docstring describes."""
    found = re.search(rf"^{section}:\n((?:[ ]+.*\n|\n)+)", f"{docstring}\n", re.MULTILINE)
    if found is None:
        return []
    names = re.findall(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:(?:\s|$)", found[1], re.MULTILINE)
    return [name.strip("* ") for group in names for name in group.split(",")]


def parameters(function: Function) -> set[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {each.arg for each in (*named, arguments.vararg, arguments.kwarg) if each is not None}


def fields(node: ast.ClassDef) -> set[str]:
    """What a class binds: in its body, as a property, and on ``self``."""
    bound = {
        target.id for target in ast.walk(node) if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    on_self = {t.attr for t in ast.walk(node) if isinstance(t, ast.Attribute) and isinstance(t.ctx, ast.Store)}
    return bound | on_self | {each.name for each in node.body if isinstance(each, Function)}


def unknown_entries(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Each class or function whose docstring names something that it does not have."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | Function) or not (text := ast.get_docstring(node)):
            continue
        described = set(entries(text, "Attributes")) | set(entries(text, "Args"))
        if isinstance(node, ast.ClassDef):
            own = [node, *(classes[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in classes)]
            real = {name for each in own for name in fields(each)}
            real |= {name for each in node.body if isinstance(each, Function) for name in parameters(each)}
        else:
            real = parameters(node)
        if described - real:
            yield node.name, described - real


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=relative)
def test_every_entry_of_a_docstring_names_a_field_or_a_parameter(path: Path) -> None:
    found = dict(unknown_entries(ast.parse(path.read_text(encoding="utf-8"))))
    pending = {name: left for (module, name), left in PENDING.items() if module == relative(path)}
    assert found == pending


def test_an_entry_without_a_field_or_a_parameter_is_seen() -> None:
    source = '''
class A:
    """A.

    Attributes:
        x: one.
        kept: gone.
    """
    x: int

def f(a, *rest):
    """F.

    Args:
        a: one.
        *rest: more.
        b (int): none.
    """
'''
    assert dict(unknown_entries(ast.parse(source))) == {"A": {"kept"}, "f": {"b"}}


def unknown_references(source: str) -> list[str]:
    """References such as ``:data:`X``` to a name that occurs nowhere else in the module that they point into."""
    unknown = []
    for target in re.findall(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`", source):
        module, name = source, target.rpartition(".")[2]
        parts = target.split(".")
        if ROOT.joinpath(*parts).is_dir():
            continue
        for end in range(len(parts), 0, -1):
            path = ROOT.joinpath(*parts[:end]).with_suffix(".py")
            if path.is_file():
                module, name = path.read_text(encoding="utf-8"), "" if end == len(parts) else name
                break
        code = re.sub(r":\w+:`[^`]*`", "", module)
        if name and not re.search(rf"\b{name}\b", code):
            unknown.append(target)
    return unknown


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=relative)
def test_every_reference_of_a_docstring_names_something(path: Path) -> None:
    assert unknown_references(path.read_text(encoding="utf-8")) == []
