"""The prose of docs and docstrings: subject first, short, in the field's words. codespell holds the single words."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.source_tree import BENCHMARKS, MODULES, ROOT, relative

MAX_SENTENCE_WORDS = 30
PAGES = [ROOT / name for name in (
    "README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md",
)]  # fmt: skip
PAGES += sorted((ROOT / "docs").rglob("*.md"))
RELATIVE_OPENINGS = {"what", "whether", "who", "whose", "of", "how", "where", "when", "why", "which"}
DIALECT = re.compile(r"\b(?:set aside|sets aside|looked at|looks at|is done with|are done with)\b", re.IGNORECASE)


LIST_ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s+")


def without_code(page: str) -> str:
    """The page without fenced and indented code; a line with four spaces in a list belongs to its item."""
    kept: list[str] = []
    in_list = in_code = False
    blank = True
    for line in re.sub(r"^ *```.*?^ *```$", "", page, flags=re.DOTALL | re.MULTILINE).splitlines():
        indented = line.startswith("    ")
        if LIST_ITEM.match(line) and (in_list or not indented):
            in_list = True
        elif blank and line.strip() and not line.startswith(" "):
            in_list = False
        in_code = bool(indented and not in_list and (blank or in_code))
        kept += [] if in_code else [line]
        blank = not line.strip()
    return "\n".join(kept)


def sentences(page: str) -> list[str]:
    """The sentences of a page's paragraphs and lists, without code, tables, headings and link targets.

    A semicolon or a colon ends none.
    """
    text = re.sub(r"^(?:\s*\|.*|#.*|<.*)$", "", without_code(page), flags=re.MULTILINE)
    text = re.sub(r"\]\(\s*[^)]*\)", "]", text)
    blocks = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s+", text)
    return [s for block in blocks for s in re.split(r"(?<=[.!?])[)*_`\"]*\s+", " ".join(block.split())) if s]


def words(sentence: str) -> int:
    return len(re.findall(r"\w[^\s]*", re.sub(r"`[^`]*`", "code", sentence)))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_sentence_of_the_docs_can_be_read_in_one_breath(page: Path) -> None:
    long = [s for s in sentences(page.read_text(encoding="utf-8")) if words(s) > MAX_SENTENCE_WORDS]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_the_docs_use_the_words_of_the_field(page: Path) -> None:
    plain = [re.sub(r"`[^`]*`", "code", s) for s in sentences(page.read_text(encoding="utf-8"))]
    assert [s for s in plain if DIALECT.search(s)] == []


def docstrings(path: Path) -> list[tuple[int, str]]:
    """Docstrings, and the strings that stand under a constant or a field and describe it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        (getattr(node, "lineno", 1), ast.get_docstring(node)) for node in ast.walk(tree) if isinstance(node, kinds)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            for before, after in pairwise(node.body):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(text, ast.Constant):
                    found.append((after.lineno, inspect.cleandoc(text.value) if isinstance(text.value, str) else None))
    return [(line, text) for line, text in found if text]


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=relative)
def test_a_docstring_begins_with_a_noun_or_a_verb(path: Path) -> None:
    """Not with a relative clause: "Decides whether …", never "Whether …"."""
    openings = [(line, re.match(r"[A-Za-z]*", text)[0].lower(), text) for line, text in docstrings(path)]
    assert [f"{line}: {text.splitlines()[0]}" for line, first, text in openings if first in RELATIVE_OPENINGS] == []


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=relative)
def test_docstrings_use_the_words_of_the_field(path: Path) -> None:
    assert [f"{line}: {found[0]}" for line, text in docstrings(path) if (found := DIALECT.search(text))] == []


def test_items_of_a_nested_list_are_read_and_code_is_not() -> None:
    page = "- outer one\n    - nested one. Then two.\n\n      Third.\n\nText:\n\n    code here\n\nA; b: c."
    assert sentences(page) == ["- outer one", "nested one.", "Then two.", "Third.", "Text:", "A; b: c."]


def test_a_string_under_a_constant_is_a_docstring(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Module."""\nX = 1\n"""How it is."""\nclass A:\n    """A."""\n    y: int = 2\n    """Why."""\n')
    assert [text for _, text in docstrings(path)] == ["Module.", "A.", "How it is.", "Why."]
