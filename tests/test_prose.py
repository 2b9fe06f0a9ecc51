"""The prose of docs and docstrings: subject first, short, in the field's words. codespell holds the single words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.source_tree import MODULES, ROOT, relative

MAX_SENTENCE_WORDS = 30
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
RELATIVE_OPENINGS = {"what", "whether", "who", "whose", "of", "how", "where", "when", "why", "which"}
DIALECT = re.compile(r"\b(?:set aside|sets aside|looked at|looks at|is done with|are done with)\b", re.IGNORECASE)


def sentences(page: str) -> list[str]:
    """The sentences of a page's paragraphs and lists, without code, tables, headings and link targets."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    text = re.sub(r"^(?:    .*|\|.*|#.*|<.*)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    blocks = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s+", text)
    return [s for block in blocks for s in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split())) if s]


def words(sentence: str) -> int:
    return len(re.findall(r"\w[^\s]*", re.sub(r"`[^`]*`", "code", sentence)))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_sentence_of_the_docs_can_be_read_in_one_breath(page: Path) -> None:
    long = [s for s in sentences(page.read_text(encoding="utf-8")) if words(s) > MAX_SENTENCE_WORDS]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_the_docs_use_the_words_of_the_field(page: Path) -> None:
    assert [s for s in sentences(page.read_text(encoding="utf-8")) if DIALECT.search(s)] == []


def docstrings(path: Path) -> list[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    found = [(getattr(node, "lineno", 1), ast.get_docstring(node)) for node in nodes]
    return [(line, text) for line, text in found if text]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_docstring_begins_with_a_noun_or_a_verb(path: Path) -> None:
    """Not with a relative clause: "Decides whether …", never "Whether …"."""
    openings = [(line, re.match(r"[A-Za-z]*", text)[0].lower(), text) for line, text in docstrings(path)]
    assert [f"{line}: {text.splitlines()[0]}" for line, first, text in openings if first in RELATIVE_OPENINGS] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_docstrings_use_the_words_of_the_field(path: Path) -> None:
    assert [f"{line}: {found[0]}" for line, text in docstrings(path) if (found := DIALECT.search(text))] == []
