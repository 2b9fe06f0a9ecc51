"""docs/how-to/runbook.md, as something that can be run: recipes with their commands and with what one sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "runbook.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
COMPLETE = "MMPLATFORM_TEST_RUNBOOK"
on_demand = pytest.mark.skipif(not os.environ.get(COMPLETE), reason=f"`make test-runbook` sets {COMPLETE}")


@dataclass(frozen=True)
class Step:
    """Commands, and the lines that come out among others, in this order."""

    commands: str
    seen: tuple[str, ...]


def recipes() -> dict[str, list[Step]]:
    """By title; what stands before the first one is what all begin with (title ``""``)."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    titled = {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))
    return {title: _steps(text) for title, text in titled.items()}


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    for kind, body in _BLOCK.findall(text):
        if kind == "sh":
            steps.append(Step(body, ()))
        else:
            steps[-1] = Step(steps[-1].commands, tuple(body.splitlines()))
    return steps


def run(step: Step, before: str, **environment: str) -> str:
    """Run the commands in one shell that ends at the first failure; what they said."""
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200", **environment}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{before}\n{step.commands}"],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{step.commands}\n{output}"
    return output


def assert_seen(step: Step, output: str) -> None:
    """Each line that the page shows is there, after the one before it."""
    lines = iter(output.splitlines())
    for wanted in step.seen:
        pattern = re.compile(".*".join(map(re.escape, wanted.split(ANYTHING))))
        assert any(pattern.fullmatch(line.rstrip()) for line in lines), f"not seen: {wanted}\n{output}"
