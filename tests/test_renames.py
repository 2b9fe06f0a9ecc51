"""The page of renames: every module has its row, and the tool that makes the page refuses to leave one out."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from mmplatform.settings.renamed import RENAMED
from tests.source_tree import ROOT

PAGE = (ROOT / "docs" / "explanation" / "renames.md").read_text(encoding="utf-8")


@pytest.fixture
def renames() -> ModuleType:
    spec = importlib.util.spec_from_file_location("renames", ROOT / "tools" / "renames.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_rewritten_module_has_a_row_for_each_successor(renames):
    rows = set(re.findall(r"^\| `([^`]+\.py)` \| `([^`]+\.py)` \|$", PAGE, re.MULTILINE))
    assert {(old, new) for old, successors in renames.REWRITTEN.items() for new in successors} <= rows


@pytest.mark.parametrize("successors", [(), ("mmplatform/missing.py",)])
def test_an_old_module_without_a_successor_ends_the_tool(renames, monkeypatch, successors):
    answers = {"diff": "D\tmmplatform/lost.py\nD\ttests/lost.py\n", "ls-tree": "mmplatform/worker.py\n"}
    monkeypatch.setattr(renames, "git", lambda command, *_: answers[command])
    monkeypatch.setattr(renames, "REWRITTEN", {"mmplatform/lost.py": successors} if successors else {})
    with pytest.raises(SystemExit, match=r"mmplatform/lost\.py$"):
        list(renames.modules("a", "b"))


def test_the_page_has_every_setting_and_what_an_operator_types_or_scrapes():
    for old, new in RENAMED.items():
        assert f"| `MMPLATFORM_{old.upper()}` | `MMPLATFORM_{new.upper()}` |" in PAGE
    for text in (
        "mmplatform_gateway_throttled_requests_total", "mmplatform_gateway_high_water_reached_total",
        "mmplatform_gateway_oldest_event_age_seconds", "mmplatform_gateway_inflight_body_bytes", "`throttle`",
        "start-failed", "down --timeout", "topics --partitions", "0 rows quarantined",
    ):  # fmt: skip
        assert text in PAGE
