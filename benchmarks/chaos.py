"""Everything dies, hangs, slows down and tells the wrong time while events arrive; then sets are compared.

    python -m benchmarks.chaos [--kills 100] [--zombies 10] [--seed 1] [--long 10] [--canaries 10000] [--edits 10000]
        [--data FOLDER] [--plan]

Starts a stack of its own. The seed decides what is broken and in which order; the plan is printed first (``--plan``:
and nothing else done). At the end the ledger of what was acknowledged is compared with the log, the lakehouse, the
index, the quarantine and the dead letters. Two more sources choose the same ids: each conflict must be named. Four edit
and delete their chats at random: no old text may be left anywhere, and each newest one must be found. Canaries are sent
meanwhile. Of canaries, edits and deletes there are as many as there is time for, up to their number. Exit code 1 when
anything was lost, doubled, stale, out of order, a conflict without a name, or in a receipt that claimed more than was
true. Ctrl-C ends the attack: what came until then is compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import collisions, edit_verdict
from benchmarks.faults.attack import Attack
from benchmarks.faults.edits import Edits
from benchmarks.faults.ledger import Ledger, Pace
from benchmarks.faults.plan import Fault, draw
from benchmarks.faults.stack import Broken, broken_stack
from benchmarks.faults.verdict import Verdict, compare
from benchmarks.machine import describe
from mmplatform.events import Modality
from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.service import open_runner, run_many

PACE = Pace(chat_s=0.1, shot_s=6.0, chunk_s=1.0, calls=1_000)
COLLISION_S = 0.3
"""Between two chats of the sources whose ids collide."""

EDIT_S = 0.1
"""Between two events of a source that edits and deletes; there are four."""

CANARY_THREADS = 8
CANARY_TIMEOUT_S = 600.0
"""Longer than any service is away: what is missing then is missing for good."""

WARM = 20
"""Chats before the first fault."""


def main() -> int:
    arguments = _arguments()
    plan = draw(arguments.kills, arguments.seed, long_s=arguments.long, zombies=arguments.zombies)
    print(f"machine: {describe()}")
    print(f"plan of seed {arguments.seed}: {count(plan)}")
    for fault in plan:
        print(f"  after {fault.wait_s:3.1f} s  {fault}")
    if arguments.plan:
        return 0
    folder = arguments.data or Path(tempfile.mkdtemp(prefix="mmplatform-chaos-"))
    began = time.monotonic()
    outcome = run(folder, plan, canaries=arguments.canaries, edits=arguments.edits)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{count(outcome.begun)} in {minutes:.1f} minutes, seed {arguments.seed}; data in {folder}")
    tables = (table(outcome.verdicts), collisions.table(outcome.colliding), edit_verdict.table(outcome.edited))
    print(*tables, canary_line(outcome.canaries), sep="\n\n")
    for name, faults in outcome.faults.items():
        for wrong, ids in faults.items():
            print(f"{wrong} {name}: {', '.join(ids[:20])}{' …' if len(ids) > 20 else ''}")
    for event, reason in outcome.refused.items():
        print(f"never acknowledged: {event}: {reason}")
    return 1 if outcome.faults or outcome.canaries.false_receipts else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run.

    Attributes:
        verdicts: by modality.
        colliding: of the sources whose ids collide.
        edited: of the sources that edit and delete their chats.
        refused: events that were never acknowledged, with the reason.
        begun: the faults that were carried out.
        canaries: sent and looked for during the attack.
    """

    verdicts: Mapping[Modality, Verdict]
    colliding: collisions.CollisionVerdict
    edited: edit_verdict.EditVerdict
    refused: Mapping[str, str]
    begun: Sequence[Fault]
    canaries: CanaryFigures

    @property
    def faults(self) -> dict[str, dict[str, list[str]]]:
        """By modality, of the colliding ids, and of the edited chats: the sets that should be empty and are not."""
        found: list[tuple[str, dict[str, list[str]]]] = [
            ("colliding", self.colliding.faults),
            ("edited", self.edited.faults),
        ]
        found += [(modality, verdict.faults) for modality, verdict in self.verdicts.items()]
        return {name: faults for name, faults in found if faults}


def run(folder: Path, plan: Sequence[Fault], pace: Pace = PACE, *, canaries: int = 0, edits: int = 0) -> Outcome:
    """Start, attack, compare."""
    figures = CanaryFigures()
    with broken_stack(folder) as stack, flock(stack, figures, canaries) as land:
        ledger, colliding = Ledger(stack, pace), collisions.Collisions(stack, COLLISION_S)
        editing = Edits(stack, EDIT_S, edits)
        ledger.start()
        colliding.start()
        editing.start()
        ledger.wait_for(WARM)
        attack = Attack(stack, ledger, lambda line: print(line, flush=True))
        attack.run(plan)
        ledger.stop()
        colliding.stop()
        editing.stop()
        land()
        verdicts = compare(stack, ledger)  # first: it waits until no worker is behind
        collided, edited = collisions.compare(stack, colliding), edit_verdict.compare(stack, editing.ledger)
        return Outcome(verdicts, collided, edited, ledger.refused, attack.begun, figures)


@contextmanager
def flock(stack: Broken, figures: CanaryFigures, count: int) -> Iterator[Callable[[], None]]:
    """Send so many canaries beside the attack; the yielded function ends it, and waits for those under way."""
    stopped = threading.Event()
    address = int(stack.now().gateway.rpartition(":")[2])
    settings = stack.addressed.model_copy(update={"gateway_port": address})
    with open_runner(settings, figures, timeout_s=CANARY_TIMEOUT_S) as runner:
        thread = threading.Thread(
            target=run_many, args=(runner, count), kwargs={"threads": CANARY_THREADS, "stopped": stopped}, daemon=True
        )
        thread.start()

        def land() -> None:
            stopped.set()
            thread.join()

        try:
            yield land
        finally:
            land()


def canary_line(figures: CanaryFigures) -> str:
    """Number of each outcome of the canaries, and of false receipts."""
    outcomes = figures.payload().get("chat", {}).get("outcomes", {})
    counted = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
    return f"canaries: {counted or 'none'}; receipts that claimed too much: {figures.false_receipts}"


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
    parser.add_argument("--zombies", type=int, help="derivers that wake after their session; else one for ten kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", type=float, default=10.0, help="duration of a fault that lasts, in seconds")
    parser.add_argument("--canaries", type=int, default=10_000, help="synthetic chats at most, during the attack")
    parser.add_argument("--edits", type=int, default=10_000, help="edits and deletes at most, during the attack")
    parser.add_argument("--data", type=Path, help="an empty folder for the stack; else one in the temporary directory")
    parser.add_argument("--plan", action="store_true", help="print the plan only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
