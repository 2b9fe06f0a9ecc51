"""Computes how much of each process a load needs, and what is full first: arithmetic on measured unit costs.

    python -m benchmarks.sizing [--costs docs/benchmarks/unit-costs.json] [--scenario "1,000 calls at once"]

A process is planned to be busy for `BUSY` of its time at most, at the mean cost of a unit; the p95 of the unit costs
says how much worse a bad minute is. Workers use one core each, so that cores are processes. What there is one of (the
archiver, the indexer with Chroma behind it) is told by the share of it that the load needs: above 1 it is full.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

COSTS: Final = Path(__file__).parents[1] / "docs" / "benchmarks" / "unit-costs.json"
BUSY: Final = 0.6
"""Share of its time: what comes in bursts needs the rest, or it waits."""

DAY_S: Final = 86_400.0
VECTOR_BYTES: Final = 384 * 4
"""Bytes of a vector of the default embedder. What HNSW keeps beside each is about as much again."""

OVERHEAD: Final = 2.0
COMMIT_S: Final = 15.0
"""The archiver's default interval."""

STORE_WAIT_S: Final = 0.4
"""Assumed, not measured: what a commit waits for S3 and the catalog, eight requests of 50 ms one after the other."""

OWN_TABLES: Final = 2
"""Tables of a modality, each committed to once in an interval: raw rows and artifacts. Passages are common to all."""

SHARED: Final = ("gateway", "broker")
"""Processes of which each modality uses some; the broker stands for your Kafka."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The load: units a second of each modality (a call's unit is a minute of it), for how much of a day."""

    name: str
    rates: Mapping[str, float]
    hours_a_day: float = 10.0


@dataclass(frozen=True, slots=True)
class Need:
    """Needs of one kind of process: cores of work, and processes with the room that `BUSY` leaves."""

    cores: float
    processes: int
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Sized:
    """Needs of a scenario. ``full``: the share of the one process there is, for what there is one of."""

    scenario: Scenario
    needs: Mapping[str, Need]
    full: Mapping[str, float]
    topic_partitions: int
    commits_an_hour: float
    rows_a_s: float
    bytes_a_day: Mapping[str, float]
    passages_a_day: float
    notes: list[str] = field(default_factory=list)

    @property
    def cores(self) -> float:
        """Cores of work, all together, the broker left out: it is yours."""
        return sum(need.cores for name, need in self.needs.items() if name != "broker")

    @property
    def processes(self) -> int:
        """All together, the broker left out."""
        return sum(need.processes for name, need in self.needs.items() if name != "broker")

    @property
    def memory_bytes(self) -> float:
        """All together, the broker left out."""
        return sum(need.memory_bytes for name, need in self.needs.items() if name != "broker")

    @property
    def bottleneck(self) -> tuple[str, float]:
        """The part that is full first as the load grows, and how full it is with this one."""
        return max(self.full.items(), key=lambda item: item[1])


SCENARIOS: Final = (
    Scenario("1,000 calls at once", {"call": 1000 / 60}),
    Scenario("1 M chats an hour", {"chat": 1_000_000 / 3600}),
    Scenario("a contact centre: 100 calls, 20 chats a second, a screenshot in 4 s", {
        "call": 100 / 60, "chat": 20.0, "screenshot": 0.25,
    }),
)  # fmt: skip


def archiver_share(costs: Mapping[str, Any], rows_a_s: float, commits_a_s: float) -> float:
    """Share of one archiver's time that goes into commits, their waiting for the store, and rows."""
    archive = costs["archive"]
    return float(commits_a_s * (archive["commit_cpu_s"] + STORE_WAIT_S) + rows_a_s * archive["row_cpu_s"])


def size(costs: Mapping[str, Any], scenario: Scenario, *, commit_s: float = COMMIT_S) -> Sized:
    """Compute the needs of a scenario."""
    units = costs["units"]
    rates = {modality: rate for modality, rate in scenario.rates.items() if rate > 0}
    commits_a_s = (1 + OWN_TABLES * len(rates)) / commit_s
    rows_a_s = sum(rate * units[modality]["rows"] for modality, rate in rates.items())
    cores = {f"derive-{m}": rate * units[m]["cpu_s"][f"derive-{m}"]["mean"] for m, rate in rates.items()}
    for name in SHARED:
        cores[name] = sum(rate * units[modality]["cpu_s"][name]["mean"] for modality, rate in rates.items())
    archive, index = costs["archive"], costs["index"]
    passages_a_s = sum(rate * units[modality]["passages"] for modality, rate in rates.items())
    # In full batches, which is how they are written once there is much to do.
    cores["index"] = passages_a_s * index["passage_cpu_s"]
    cores["chroma"] = passages_a_s * index["chroma_passage_cpu_s"]
    cores["archive"] = commits_a_s * archive["commit_cpu_s"] + rows_a_s * archive["row_cpu_s"]
    needs = {name: _need(name, work, costs) for name, work in cores.items()}
    share = {"archive": archiver_share(costs, rows_a_s, commits_a_s)}
    # The indexer is one thread, and waits while Chroma writes what it sent.
    share["index"] = cores["index"] + cores["chroma"]
    seconds = scenario.hours_a_day * 3600
    stored = {kind: _a_day(units, rates, f"{kind}_bytes", seconds) for kind in ("log", "blob", "lake")}
    passages = _a_day(units, rates, "passages", seconds)
    return Sized(
        scenario=scenario,
        needs=needs,
        full=share,
        topic_partitions=max(need.processes for name, need in needs.items() if name.startswith("derive-")),
        commits_an_hour=commits_a_s * 3600,
        rows_a_s=rows_a_s,
        bytes_a_day=stored | {"index": passages * costs["index_bytes_per_passage"]},
        passages_a_day=passages,
    )


def _need(name: str, cores: float, costs: Mapping[str, Any]) -> Need:
    processes = 1 if name == "chroma" else max(math.ceil(cores / BUSY), 1)
    return Need(cores, processes, processes * costs["memory_bytes"][name])


def _a_day(units: Mapping[str, Any], rates: Mapping[str, float], what: str, seconds: float) -> float:
    return sum(rate * float(units[modality][what]) for modality, rate in rates.items()) * seconds


def report(sized: Sized) -> str:
    """The page's text for one scenario."""
    lines = [f"{sized.scenario.name} ({sized.scenario.hours_a_day:g} hours a day)"]
    lines.append(f"  {'process':<20}{'cores of work':>14}{'processes':>11}{'GiB':>8}")
    for name, need in sized.needs.items():
        shown = "(your Kafka)" if name == "broker" else f"{need.processes:>11}{need.memory_bytes / 2**30:>8.1f}"
        lines.append(f"  {name:<20}{need.cores:>14.2f}{shown}")
    lines.append(f"  {'together':<20}{sized.cores:>14.2f}{sized.processes:>11}{sized.memory_bytes / 2**30:>8.1f}")
    lines.append(f"  topic partitions: {sized.topic_partitions} or more")
    lines.append(f"  lakehouse: {sized.rows_a_s:,.1f} rows a second, {sized.commits_an_hour:,.0f} commits an hour")
    stored = ", ".join(f"{name} {size / 1e9:,.1f}" for name, size in sized.bytes_a_day.items())
    lines.append(f"  GB a day: {stored}")
    memory = sized.passages_a_day * VECTOR_BYTES * OVERHEAD / 2**30
    lines.append(f"  passages a day: {sized.passages_a_day:,.0f}; Chroma's memory grows by {memory:,.1f} GiB a day")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in sorted(sized.full.items(), key=lambda item: -item[1]))
    lines.append(f"  of what there is one of, this load needs: {shares}")
    name, share = sized.bottleneck
    if share > BUSY:
        lines.append(f"  bottleneck: {name}, which is full at {1 / share:.2f} of this load")
    else:
        lines.append(f"  next bottleneck: {name}, which is full at {1 / share:.1f} times this load")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--commit-s", type=float, default=COMMIT_S, help="the archiver's interval")
    arguments = parser.parse_args()
    costs = json.loads(arguments.costs.read_text(encoding="utf-8"))
    chosen = [scenario for scenario in SCENARIOS if not arguments.scenario or scenario.name in arguments.scenario]
    print("\n\n".join(report(size(costs, scenario, commit_s=arguments.commit_s)) for scenario in chosen))


if __name__ == "__main__":
    main()
