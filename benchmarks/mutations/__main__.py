"""Mutates media files, and counts what becomes of each: refused, derived, derived with gaps, or named in quarantine.

    python -m benchmarks.mutations [--files 10000] [--seed 1] [--workers 2] [--out results.jsonl]

Every accepted format is truncated, gets flipped bits, a damaged head, the head or a part of another file, and blocks
that are zeroed, random, removed or repeated. Each file goes through the gateway's intake and the deriver's decoding, in
one process. ``acknowledged but lost`` counts what was accepted and is neither derived nor named, whose length differs
between the two, whose holes have no row, which raised an exception at either door, hung, crashed or took too much
memory. Ends with 1 unless it is 0.

With ``--out`` the results are appended to a file, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.mutations.mutate import MUTATIONS
from benchmarks.mutations.pool import Result, judge_all
from benchmarks.mutations.samples import samples
from benchmarks.mutations.verdict import ENDS, LOST

_NUMBER = re.compile(r"\d+(\.\d+)?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file of results, to which an interrupted run returns")
    parser.add_argument("--messages", action="store_true", help="also print the words of the refusals")
    arguments = parser.parse_args()
    print(
        f"machine: {describe()}\nseed {arguments.seed}, {len(samples())} formats, {len(MUTATIONS)} mutations",
        flush=True,
    )
    found = _earlier(arguments.out, arguments.seed)
    numbers = [number for number in range(arguments.files) if number not in found]
    started = time.monotonic()
    for result in judge_all(numbers, arguments.seed, arguments.workers):
        found[result.number] = result
        if result.end == LOST:
            print(f"lost: {result.number}, {result.format}, {result.mutation}: {result.reason}", flush=True)
        if arguments.out is not None:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"seed": arguments.seed, **asdict(result)}) + "\n")
    print(f"{len(numbers)} files in {time.monotonic() - started:.0f} s", flush=True)
    results = [found[number] for number in range(arguments.files)]
    print_tables(results)
    if arguments.messages:
        print_messages(results)
    sys.exit(any(result.end == LOST for result in results))


def _earlier(path: Path | None, seed: int) -> dict[int, Result]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    results = [Result(**{key: row[key] for key in Result.__slots__}) for row in rows if row["seed"] == seed]
    return {result.number: result for result in results}


def print_tables(results: list[Result]) -> None:
    """Print the ends by format, by mutation, and by both; then the costs."""
    for title, key in (("format", "format"), ("mutation", "mutation")):
        print(f"\n| {title} | files | {' | '.join(ENDS)} | s at most | MB at most |\n|---|{'---|' * (len(ENDS) + 3)}")
        for name in dict.fromkeys(getattr(result, key) for result in results):
            print(_row(name, [result for result in results if getattr(result, key) == name]))
        print(_row("all", results))
    print(f"\n| format | {' | '.join(MUTATIONS)} |\n|---|{'---|' * len(MUTATIONS)}")
    for name in dict.fromkeys(result.format for result in results):
        cells = [[r for r in results if (r.format, r.mutation) == (name, mutation)] for mutation in MUTATIONS]
        print(f"| {name} | {' | '.join(_cell(cell) for cell in cells)} |")
    print(f"\neach cell: {' / '.join(ENDS)}")


def _row(name: str, results: list[Result]) -> str:
    ends = Counter(result.end for result in results)
    slowest, peak = max(result.seconds for result in results), max(result.bytes for result in results) / 1e6
    counts = " | ".join(str(ends[end]) for end in ENDS)
    return f"| {name} | {len(results)} | {counts} | {slowest:.2f} | {peak:.0f} |"


def _cell(results: list[Result]) -> str:
    ends = Counter(result.end for result in results)
    return "/".join(str(ends[end]) for end in ENDS)


def print_messages(results: list[Result]) -> None:
    """Print each wording once, with its count."""
    words = Counter(f"{result.end}: {_NUMBER.sub('N', result.reason)}" for result in results if result.reason)
    for wording, count in words.most_common():
        print(f"{count:6} {wording[:200]}")


if __name__ == "__main__":
    main()
