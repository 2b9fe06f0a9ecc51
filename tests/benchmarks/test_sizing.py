"""The arithmetic of sizing, on numbers that can be worked out by hand; and the page that shows its output."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.sizing import BUSY, COSTS, SCENARIOS, STORE_WAIT_S, Scenario, report, size

ROOT = Path(__file__).parents[2]


def same(value):
    return {"mean": value, "p50": value, "p95": value, "p99": value}


def costs(**archive):
    shared = {"gateway": same(0.002), "broker": same(0.001)}
    units = {
        "chat": {"log_bytes": 5_000, "blob_bytes": 0, "lake_bytes": 1_000, "rows": 3, "passages": 1},
        "call": {"log_bytes": 50_000, "blob_bytes": 2_000_000, "lake_bytes": 9_000, "rows": 80, "passages": 10},
    }
    own = {"chat": {"derive-chat": same(0.01), "derive-call": same(0.0)},
           "call": {"derive-chat": same(0.0), "derive-call": same(15.0)}}  # fmt: skip
    return {
        "units": {modality: unit | {"cpu_s": shared | own[modality]} for modality, unit in units.items()},
        "archive": {"commit_cpu_s": 0.1, "row_cpu_s": 0.001} | archive,
        "index": {"passage_cpu_s": 0.003, "chroma_passage_cpu_s": 0.004},
        "memory_bytes": dict.fromkeys(
            ("gateway", "broker", "chroma", "index", "archive", "derive-chat", "derive-call"), 2**30
        ),
        "index_bytes_per_passage": 4_000,
    }


CHATS = Scenario("100 chats a second", {"chat": 100.0, "call": 0.0}, hours_a_day=1)


def test_work_is_the_rate_times_the_cost_and_processes_leave_room_for_bursts():
    sized = size(costs(), CHATS)
    assert sized.needs["derive-chat"].cores == pytest.approx(1.0)
    assert sized.needs["derive-chat"].processes == 2  # 1.0 / 0.6
    assert "derive-call" not in sized.needs
    assert sized.needs["gateway"].cores == pytest.approx(0.2)
    assert sized.needs["gateway"].processes == 1
    assert sized.topic_partitions == 2
    assert sized.needs["derive-chat"].memory_bytes == 2 * 2**30


def test_the_archiver_pays_for_commits_and_for_rows():
    sized = size(costs(), CHATS, commit_s=15)
    assert sized.rows_a_s == pytest.approx(300)
    assert sized.commits_an_hour == pytest.approx(3 * 240)  # raw_chats, messages, passages, every 15 s
    assert sized.full["archive"] == pytest.approx(3 / 15 * (0.1 + STORE_WAIT_S) + 300 * 0.001)
    assert sized.needs["archive"].cores == pytest.approx(3 / 15 * 0.1 + 300 * 0.001)
    assert size(costs(), CHATS, commit_s=60).commits_an_hour == pytest.approx(3 * 60)


def test_several_modalities_share_the_passages_and_what_is_behind_the_log():
    both = size(costs(), Scenario("both", {"chat": 100.0, "call": 1.0}))
    assert both.commits_an_hour == pytest.approx(5 * 240)
    assert both.needs["gateway"].cores == pytest.approx(0.2 + 0.002)
    assert both.needs["derive-call"].processes == 25  # 15 / 0.6
    assert both.topic_partitions == 25


def test_the_indexer_waits_for_chroma_and_both_are_paid_by_the_passage():
    sized = size(costs(), Scenario("", {"call": 1.0}))
    assert sized.needs["index"].cores == pytest.approx(10 * 0.003)
    assert sized.needs["chroma"].cores == pytest.approx(10 * 0.004)
    assert sized.full["index"] == pytest.approx(10 * 0.007)


def test_bytes_of_a_day_are_of_the_hours_in_which_it_arrives():
    day = size(costs(), CHATS)
    assert day.bytes_a_day["log"] == pytest.approx(100 * 3600 * 5_000)
    assert day.passages_a_day == pytest.approx(360_000)
    assert day.bytes_a_day["index"] == pytest.approx(360_000 * 4_000)
    assert size(costs(), Scenario("", {"call": 1.0}, hours_a_day=2)).bytes_a_day["blob"] == pytest.approx(14.4e9)


def test_what_is_full_first_is_named_with_the_load_at_which_it_is():
    # 300 rows a second at 0.01 s: three archivers' time, but for the commits
    crowded = size(costs(row_cpu_s=0.01, commit_cpu_s=-STORE_WAIT_S), CHATS)
    assert crowded.bottleneck == ("archive", pytest.approx(3.0))
    assert "bottleneck: archive, which is full at 0.33 of this load" in report(crowded)
    idle = size(costs(row_cpu_s=0.0, commit_cpu_s=-STORE_WAIT_S), Scenario("", {"chat": 10.0}))
    assert idle.bottleneck == ("index", pytest.approx(10 * 0.007))
    assert "next bottleneck: index, which is full at 14.3 times this load" in report(idle)


def test_the_log_is_left_out_of_what_we_need():
    sized = size(costs(), CHATS)
    assert sized.processes == sum(need.processes for need in sized.needs.values()) - 1
    assert "(your Kafka)" in report(sized)
    assert 0 < BUSY < 1


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
def test_the_page_shows_what_the_arithmetic_prints(number):
    page = (ROOT / "docs" / "explanation" / "sizing.md").read_text(encoding="utf-8")
    measured = json.loads(COSTS.read_text(encoding="utf-8"))
    blocks = re.findall(r"```text\n(.*?)\n```", page, re.DOTALL)
    assert report(size(measured, SCENARIOS[number])) in blocks, "run: python -m benchmarks.sizing"


def test_the_page_shows_what_a_unit_costs():
    page = (ROOT / "docs" / "explanation" / "sizing.md").read_text(encoding="utf-8")
    measured = json.loads(COSTS.read_text(encoding="utf-8"))
    assert measured["machine"] in page
    for modality, unit in measured["units"].items():
        for process in (f"derive-{modality}", "gateway"):
            cost = unit["cpu_s"][process]
            row = f"| {modality} | {process} | " + " | ".join(f"{cost[q]:.4f}" for q in ("p50", "p95", "p99")) + " |"
            assert row in page, row
