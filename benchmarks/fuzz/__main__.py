"""Bad and good input without end, from one seed, through every door of a running stack, and what became of it.

    mmplatform up --detach --no-dagster
    python -m benchmarks.fuzz --inputs 100000 --seed 1
    python -m benchmarks.fuzz --inputs 13000 --sound 0.95 --colliding 0.95     # 10,000 events, most of the same ids

Exit code 1 when the sums are not exact, a worker was restarted, or something that was sent is quoted in an answer,
a reason or a log. Sends to a stack that is thrown away afterwards: what is accepted stays in its index and tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.fuzz.damage import PLANTED
from benchmarks.fuzz.inputs import COLLIDING, SOUND, Input, Inputs
from benchmarks.fuzz.ledger import Ledger, account, settle
from benchmarks.fuzz.sending import Sent, send
from benchmarks.machine import describe
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.local import run_file
from mmplatform.modalities import DEAD_LETTERS_TOPIC
from mmplatform.pipeline.factories import open_embedder
from mmplatform.settings import Settings, load

ROUND: Final = 5_000
"""Inputs between two waits, so that the log does not run ahead of who reads it."""

MAX_LAG: Final = ROUND // 2
"""Records that somebody may be behind meanwhile: the archiver's commit, every 15 s, is waited for once, at the end."""

SETTLE_S: Final = 900.0


def fuzz(
    settings: Settings,
    run: run_file.StackRun,
    count: int,
    seed: int,
    *,
    sound: float = SOUND,
    colliding: float = COLLIDING,
) -> tuple[Ledger, list[str]]:
    """Send so many inputs to a running stack; the ledger, and sentences on what is wrong beside it."""
    addressed = settings.model_copy(update={"kafka_bootstrap_servers": run.kafka, "chroma_url": run.chroma})
    before = _restarts(settings)
    model = open_embedder(settings)
    index = ChromaIndex.open(addressed)
    revision = EmbedderRegistry(index).latest()
    index.close()
    serving = revision.serving.name if revision else f"{model.name}@{model.version}"
    drawn: Iterator[Input] = Inputs(seed, serving, model.dimensions, sound=sound, colliding=colliding).draw(count)
    sent = Sent()
    while some := list(islice(drawn, ROUND)):
        sent.add(send(some, run.gateway, addressed, PLANTED))
        settle(addressed, SETTLE_S, max_lag=MAX_LAG)
    settle(addressed, SETTLE_S)
    ledger = account(addressed, sent, serving)
    wrong = ledger.wrong
    if _restarts(settings) != before:
        wrong.append(f"workers were restarted: {before} became {_restarts(settings)}")
    if sent.quoted:
        wrong.append(f"answers quote what was sent, by route and status: {dict(sent.quoted)}")
    return ledger, [*wrong, *_quoting(addressed)]


def _restarts(settings: Settings) -> dict[str, int]:
    run = run_file.read_running(settings.data_dir.absolute())
    return {name: service.restarts for name, service in run.services.items()} if run else {}


def _quoting(settings: Settings) -> list[str]:
    """Logs and dead letters that repeat personal data."""
    logs: list[Path] = sorted((settings.data_dir / "logs").glob("*.log"))
    found = [f"{path.name} quotes what was sent" for path in logs if _has_planted(path.read_text(errors="replace"))]
    letters = ReplayLog(settings).read(topic_name(settings, DEAD_LETTERS_TOPIC))
    if any(_has_planted(entry.value.decode(errors="replace")) for entry in letters if entry.value.startswith(b"{")):
        found.append("a dead letter quotes what was sent")
    return found


def _has_planted(text: str) -> bool:
    return any(secret in text for secret in PLANTED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sound", type=float, default=SOUND, help="share of inputs that are not damaged")
    parser.add_argument("--colliding", type=float, default=COLLIDING, help="share of events whose ids others have too")
    arguments = parser.parse_args()
    settings = load()
    run = run_file.read_running(settings.data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach --no-dagster")
    print(f"machine: {describe()}")
    started = time.monotonic()
    ledger, wrong = fuzz(
        settings, run, arguments.inputs, arguments.seed, sound=arguments.sound, colliding=arguments.colliding
    )
    print(ledger.table())
    elapsed_s = time.monotonic() - started
    print(f"seed {arguments.seed}: {elapsed_s:.0f} s, {arguments.inputs / elapsed_s:.0f} inputs a second")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print("all accounted for, no worker restarted, none of it quoted")


if __name__ == "__main__":
    main()
