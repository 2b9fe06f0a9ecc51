"""Renames between two commits as a page: modules from git, definitions by their order in each module.

    python tools/renames.py BASE [HEAD] > docs/explanation/renames.md

A definition counts as renamed where a run of definitions between two that kept their names has as many members as
before.
"""

from __future__ import annotations

import ast
import difflib
import subprocess
import sys
from collections.abc import Iterator

ROOMS = ("mmplatform/", "assets/", "sensors/", "resources/", "quality/")
HEADER = """# Renames

Old and new names of the change that named rooms and symbols by the field's terms
([ADR 10](../adr/0010-names-and-rooms.md)). Generated from git by `python tools/renames.py {base}`, not by hand.
`git log --follow FILE` finds the history of a moved module. Renamed settings stand at the end.
"""


def git(*arguments: str) -> str:
    """The output of a git command."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def modules(base: str, head: str) -> Iterator[tuple[str, str]]:
    """Each Python module of the product at both commits: old path, new path."""
    found = git("diff", "--name-status", "-M40%", "-l4000", base, head, "--", "*.py")
    for line in found.splitlines():
        status, *paths = line.split("\t")
        if status[0] in "MR" and paths[0].startswith(ROOMS):
            yield paths[0], paths[-1]


def definitions(source: str) -> list[str]:
    """Classes, functions, methods and constants in their order, with the names of the classes around them."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield f"{prefix}{node.name}"
                yield from walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{node.name}"
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield f"{prefix}{node.target.id}"

    return list(walk(ast.parse(source).body, ""))


def renamed(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of an old and a new name, with the last part differing."""
    pairs: dict[str, str] = {}

    def tail(name: str) -> str:
        return name.rpartition(".")[2]

    blocks = difflib.SequenceMatcher(None, [tail(name) for name in old], [tail(name) for name in new], autojunk=False)
    for tag, start, end, other_start, other_end in blocks.get_opcodes():
        if tag == "replace" and end - start == other_end - other_start:
            pairs |= dict(zip(old[start:end], new[other_start:other_end], strict=True))
    for before, after in pairs.items():
        if tail(before) != tail(after) and not tail(before).startswith("_"):
            yield before, after


def main() -> None:
    """Print the page."""
    base, head = sys.argv[1], (sys.argv[2:] or ["HEAD"])[0]
    pairs = sorted(modules(base, head), key=lambda pair: pair[1])
    print(HEADER.format(base=base))
    print("## Modules\n\n| old | new |\n|---|---|")
    for old, new in pairs:
        if old != new:
            print(f"| `{old}` | `{new}` |")
    print("\n## Public names\n")
    for old, new in pairs:
        found = list(renamed(definitions(git("show", f"{base}:{old}")), definitions(git("show", f"{head}:{new}"))))
        if found:
            print(f"### {new}\n\n| old | new |\n|---|---|")
            print("\n".join(f"| `{before}` | `{after}` |" for before, after in found), end="\n\n")
    print("## Settings\n\n| old | new |\n|---|---|")
    listing = ast.parse(git("show", f"{head}:mmplatform/settings/renamed.py"))
    [table] = [node.value for node in listing.body if isinstance(node, ast.AnnAssign) and node.value is not None]
    for before, after in ast.literal_eval(table).items():
        print(f"| `MMPLATFORM_{before.upper()}` | `MMPLATFORM_{after.upper()}` |")


if __name__ == "__main__":
    main()
