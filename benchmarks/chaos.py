"""Everything dies, hangs, slows down and tells the wrong time while events arrive; then sets are compared.

    python -m benchmarks.chaos [--kills 100] [--seed 1] [--long 10] [--data FOLDER] [--plan]

Starts a stack of its own. The seed decides what is broken and in which order; the plan is printed first (``--plan``:
and nothing else done). At the end the ledger of what was acknowledged is compared with the log, the lakehouse, the
index, the quarantine and the dead letters. Exit code 1 when anything was lost, doubled, stale or out of order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.faults.attack import Attack
from benchmarks.faults.ledger import Ledger, Pace
from benchmarks.faults.plan import Fault, draw
from benchmarks.faults.stack import broken_stack
from benchmarks.faults.verdict import Verdict, compare
from benchmarks.machine import describe
from mmplatform.events import Modality

PACE = Pace(chat_s=0.1, shot_s=6.0, chunk_s=1.0, calls=1_000)
WARM = 20
"""Chats before the first fault."""


def main() -> int:
    arguments = _arguments()
    plan = draw(arguments.kills, arguments.seed, long_s=arguments.long)
    print(f"machine: {describe()}")
    print(f"plan of seed {arguments.seed}: {count(plan)}")
    for fault in plan:
        print(f"  after {fault.wait_s:3.1f} s  {fault}")
    if arguments.plan:
        return 0
    folder = arguments.data or Path(tempfile.mkdtemp(prefix="mmplatform-chaos-"))
    began = time.monotonic()
    verdicts, refused = run(folder, plan)
    print(f"\n{count(plan)} in {(time.monotonic() - began) / 60:.1f} minutes, seed {arguments.seed}; data in {folder}")
    print(table(verdicts))
    wrong = {modality: verdict.faults for modality, verdict in verdicts.items() if verdict.faults}
    for modality, faults in wrong.items():
        for name, ids in faults.items():
            print(f"{name} {modality}: {', '.join(ids[:20])}{' …' if len(ids) > 20 else ''}")
    for event, reason in refused.items():
        print(f"never acknowledged: {event}: {reason}")
    return 1 if wrong else 0


def run(folder: Path, plan: Sequence[Fault], pace: Pace = PACE) -> tuple[Mapping[Modality, Verdict], Mapping[str, str]]:
    """Start, attack, compare; what came out, and what was refused."""
    with broken_stack(folder) as stack:
        ledger = Ledger(stack, pace)
        ledger.start()
        ledger.wait_for(WARM)
        Attack(stack, ledger, lambda line: print(line, flush=True)).run(plan)
        ledger.stop()
        return compare(stack, ledger), ledger.refused


def count(plan: Sequence[Fault]) -> str:
    """Number of each kind."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(fault.kind for fault in plan).most_common())


def table(verdicts: Mapping[Modality, Verdict]) -> str:
    """One line for each modality."""
    names = ("acknowledged", "quarantined", "lost", "duplicated", "never sent", "stale", "out of order")
    lines = ["| |" + "|".join(f" {name} " for name in names) + "|", "|---|" + "---:|" * len(names)]
    for modality, verdict in verdicts.items():
        sets = (verdict.named, verdict.lost, verdict.doubled, verdict.unasked, verdict.stale, verdict.misplaced)
        lines.append(f"| {modality} | {' | '.join(str(number) for number in (verdict.sent, *map(len, sets)))} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs; one of each other kind for ten of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", type=float, default=10.0, help="duration of a fault that lasts, in seconds")
    parser.add_argument("--data", type=Path, help="an empty folder for the stack; else one in the temporary directory")
    parser.add_argument("--plan", action="store_true", help="print the plan only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
