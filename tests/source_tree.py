"""The product's own source files, for the tests of structure, names and prose."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("mmplatform", "assets", "sensors", "resources", "quality")
MODULES = [ROOT / "definitions.py", *(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))]

BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))


def relative(path: Path) -> str:
    """The path from the repository's root, as a test's id."""
    return str(path.relative_to(ROOT))
