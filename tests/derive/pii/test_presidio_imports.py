"""Presidio without transformers and spaCy's command line; both can be imported afterwards."""

from __future__ import annotations

import subprocess
import sys


def _run(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    return result.stdout.strip()


def test_presidio_leaves_out_transformers_and_the_command_line_of_spacy():
    program = """
import sys
from mmplatform.derive.pii.presidio_imports import import_presidio
import_presidio()
print([name for name in ("transformers", "spacy.cli", "typer", "weasel") if name in sys.modules])
import presidio_analyzer, spacy
print(len(presidio_analyzer.predefined_recognizers.__all__) > 50, spacy.blank("en")("a b")[1].text)
"""
    assert _run(program).splitlines() == ["[]", "True b"]


def test_both_packages_are_whole_when_they_are_imported_afterwards():
    program = """
from mmplatform.derive.pii.presidio_imports import import_presidio
import_presidio()
import spacy.cli
from spacy.cli.info import info
from transformers import AutoTokenizer
print(callable(spacy.cli.download), callable(info), AutoTokenizer.__name__)
"""
    assert _run(program) == "True True AutoTokenizer"


def test_packages_that_are_imported_already_are_left_as_they_are():
    program = """
import spacy, transformers
from mmplatform.derive.pii.presidio_imports import import_presidio
before = spacy.cli
import_presidio()
import sys
print(before is sys.modules["spacy.cli"], hasattr(transformers, "AutoTokenizer"), callable(spacy.info))
"""
    assert _run(program) == "True True True"
