"""The house rules that no linter knows: sizes, names, who reads the environment, what an import may load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.source_tree import MODULES, ROOT, relative

MOST_MODULE_LINES = 300
MOST_FUNCTION_LINES = 60
NOBODY_KNOWS_WHAT_IS_IN_IT = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
HEAVY = (
    "faster_whisper", "transformers", "torch", "chromadb", "presidio_analyzer", "spacy", "rapidocr", "onnxruntime",
    "onnx", "ctranslate2", "av", "pyiceberg", "pyarrow", "quixstreams", "cv2", "polars", "pandera", "dagster",
    "confluent_kafka", "boto3",
)  # fmt: skip
# Put together from parts, so that this file does not name what it looks for.
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("deb", "debian", "org"),
            ("download", "pytorch", "org"),
            ("proxy", "golang", "org"),
            ("crates", "io"),
        )
    )
)
NAMES = [relative(path) for path in MODULES]


def test_every_module_of_quality_but_dagsters_side_is_kept_from_dagster():
    """The contract has to name them: ``quality`` as a whole would be ``quality.dagster_policies`` too."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [bound] = [each for each in linter["contracts"] if each["name"].startswith("Dagster sits on top")]
    there = {f"quality.{path.stem}" for path in (ROOT / "quality").glob("[!_]*")}
    assert {name for name in bound["source_modules"] if name.startswith("quality")} == there - {
        "quality.dagster_policies"
    }


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_can_be_read_in_one_sitting(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_MODULE_LINES
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert long == []


def test_every_module_says_what_it_is_for():
    assert [
        name for path, name in zip(MODULES, NAMES, strict=True) if not ast.get_docstring(ast.parse(path.read_text()))
    ] == []


def test_no_module_is_named_for_nothing():
    assert [name for name in NAMES if unclear_parts(name)] == []


def unclear_parts(module: str) -> set[str]:
    """The parts of a module's path, packages included, that say nothing about what is in them."""
    return {part.removesuffix(".py") for part in Path(module).parts} & NOBODY_KNOWS_WHAT_IS_IN_IT


@pytest.mark.parametrize("module", ["mmplatform/helpers/__init__.py", "mmplatform/common/text.py", "quality/utils.py"])
def test_a_package_that_is_named_for_nothing_is_seen(module):
    assert unclear_parts(module)


def test_the_platform_reads_its_settings_in_one_place():
    """Nobody else asks the environment for a setting; a child process is given the whole of it."""
    asks = re.compile(
        r"""os\.getenv\(|getenv\(|environ\.get\(|environ\[|environ\.pop\(|["']MMPLATFORM_[A-Z_]+["']\s*[\]),]"""
    )
    found = {
        f"{name}:{number}: {line.strip()}"
        for path, name in zip(MODULES, NAMES, strict=True)
        if name != "mmplatform/settings/environment.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if asks.search(line)
    }
    assert sorted(found) == []


def test_no_package_registry_is_named():
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if REGISTRY_HOSTS.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert found == []


def imported_by(module: str) -> set[str]:
    """Top-level packages that are loaded after importing a module in a fresh Python."""
    code = f"import {module}, sys; print(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["mmplatform.cli.main", "mmplatform.worker", "mmplatform.pipeline.process"])
def test_importing_is_light(module):
    assert imported_by(module) & set(HEAVY) == set()


def test_the_platform_never_loads_dagster():
    every = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.parts[len(ROOT.parts)] == "mmplatform" and path.stem != "__main__"
    ]
    assert "dagster" not in imported_by(", ".join(every))


def test_one_list_names_the_tests_of_the_house_rules():
    listed = (ROOT / "tests" / "house_rules.txt").read_text(encoding="utf-8").split()
    assert [name for name in listed if not (ROOT / name).is_file()] == []
    for page in ("AGENTS.md", "Makefile", ".pre-commit-config.yaml"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "pytest @tests/house_rules.txt" in text, page
        assert [name for name in listed if name in text] == [], f"{page} repeats the list"
