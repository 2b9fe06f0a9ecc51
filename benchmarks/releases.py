"""The processor for a chat, of this checkout against another one, in one run.

    git worktree add /tmp/other df1e955
    python -m benchmarks.releases /tmp/other [--python /tmp/other/.venv/bin/python] [--rate 20] [--rounds 4]

Both stacks run at once, with a deriver of chats only. The same chats go to one, then to the other, and which of them is
first alternates; so both meet the same machine. A stack's cost is the processor time of its processes until no worker
is behind, less what they use when nothing comes. Redaction and embedding are models, which releases change. Each
release's own cost of them is measured in a process of its own and subtracted in the last rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.load import chat_texts
from benchmarks.machine import cpu_seconds, describe
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, CHAT, INDEX_GROUP
from mmplatform.settings import Settings, load

ROOT: Final = Path(__file__).parents[1]
PARTS: Final = ("redactor", "embedder")
_DERIVERS: Final = "chat=1,call=0,screenshot=0"
_IDLE_S: Final = 10.0
_WARM_UP_CHATS: Final = 40
_CONVERSATIONS: Final = 20
_GROUPS: Final = {
    CHAT.group: [CHAT.topic],
    INDEX_GROUP: [ARTIFACTS_TOPIC],
    ARCHIVE_GROUP: [CHAT.topic, ARTIFACTS_TOPIC],
}
_MODEL_COST: Final = """
import json, sys, time
from mmplatform.settings import load
try:
    from mmplatform.pipeline import factories
except ImportError:
    from mmplatform.pipeline import derivers as factories
part, texts = sys.argv[1], json.load(sys.stdin)
model = getattr(factories, f"open_{part}")(load())
run = model.redact if part == "redactor" else model.embed
batches = [texts[start : start + 20] for start in range(0, len(texts), 20)]
run(batches[0])
started = time.process_time()
for batch in batches[1:]:
    run(batch)
print(1000 * (time.process_time() - started) / sum(map(len, batches[1:])))
"""


@dataclass
class Release:
    """A running stack of one checkout.

    Attributes:
        name: of the table's row.
        settings: with the address of its log.
        run: its run file, as JSON: a release may have other fields.
        idle: cores that each process uses when nothing comes.
        rounds: processor time for a chat by process, ms, of each round.
    """

    name: str
    settings: Settings
    run: dict[str, Any]
    idle: dict[str, float] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)

    def cpu(self) -> dict[str, float]:
        """Processor time of each process so far."""
        return {name: cpu_seconds(service["pid"] or 0) for name, service in self.run["services"].items()}

    def measure(self, chats: list[dict[str, Any]], rate: float) -> dict[str, float]:
        """Send the chats, wait until no worker is behind; the processor time for one by process, in ms."""
        before, began = self.cpu(), time.monotonic()
        for number in range(0, len(chats), round(rate)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            self._post(chats[number : number + round(rate)])
        self._drain()
        elapsed_s = time.monotonic() - began
        after = self.cpu()
        return {
            name: 1000 * (after[name] - before[name] - elapsed_s * self.idle.get(name, 0.0)) / len(chats)
            for name in before
        }

    def total(self) -> float:
        """Median over the rounds."""
        return float(np.median([sum(cost.values()) for cost in self.rounds]))

    def _post(self, chats: list[dict[str, Any]]) -> None:
        while True:
            answer = httpx.post(f"{self.run['gateway']}/v1/events/chat", json=chats, timeout=120, trust_env=False)
            if answer.status_code not in {429, 503}:
                answer.raise_for_status()
                return
            time.sleep(float(answer.headers.get("Retry-After", "1")))

    def _drain(self) -> None:
        log, quiet, give_up = ReplayLog(self.settings), 0, time.monotonic() + 600
        while quiet < 3:
            lags = [count for group, topics in _GROUPS.items() for lag in log.lag(group, topics).values()
                    for count in lag.values()]  # fmt: skip
            quiet = 0 if any(lags) else quiet + 1
            if time.monotonic() > give_up:
                raise SystemExit(f"{self.name}: workers are behind by {sum(lags)} records after ten minutes")
            time.sleep(0.5)


@contextmanager
def started(name: str, checkout: Path, python: Path, data_dir: Path) -> Iterator[Release]:
    """A stack of a checkout, by its own command line; stopped at the end."""
    environment = os.environ | {"MMPLATFORM_DATA_DIR": str(data_dir), "MMPLATFORM_GATEWAY_PORT": "0"}
    command = [str(python), "-m", "mmplatform"]
    up = [*command, "up", "--detach", "--no-dagster", "--derivers", _DERIVERS]
    subprocess.run(up, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        run = json.loads((data_dir / "run" / "stack.json").read_text())
        yield Release(name, load(data_dir=data_dir, kafka_bootstrap_servers=run["kafka"]), run)
    finally:
        subprocess.run([*command, "down"], cwd=checkout, env=environment, check=False, stdout=subprocess.DEVNULL)


def chats(texts: list[str], name: str, count: int) -> list[dict[str, Any]]:
    """Chats whose texts no memo knows."""
    return [
        {"event_id": f"{name}-{n}", "conversation_id": f"{name}-{n % _CONVERSATIONS}",
         "subject_id": f"{name}-{n % _CONVERSATIONS}", "role": "customer",
         "text": f"{texts[n % len(texts)]} (ticket {name} {n})"}
        for n in range(count)
    ]  # fmt: skip


def model_ms(part: str, checkout: Path, python: Path, texts: list[str]) -> float:
    """Processor time of a model of a checkout for one text."""
    command = [str(python), "-c", _MODEL_COST, part]
    done = subprocess.run(command, cwd=checkout, input=json.dumps(texts), check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def compare(other: Path, python: Path, arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    texts, count = chat_texts(), round(arguments.rate * arguments.seconds)
    sides = {"this": (ROOT, Path(sys.executable)), "other": (other, python)}
    with (
        started("this", *sides["this"], folder / "this") as this,
        started("other", *sides["other"], folder / "other") as that,
    ):
        for release in (this, that):
            release.measure(chats(texts, "warm", _WARM_UP_CHATS), arguments.rate)
            before = release.cpu()
            time.sleep(_IDLE_S)
            release.idle = {name: (spent - before[name]) / _IDLE_S for name, spent in release.cpu().items()}
        for number in range(arguments.rounds):
            for release in (this, that) if number % 2 else (that, this):
                release.rounds.append(release.measure(chats(texts, f"round{number}", count), arguments.rate))
                print(f"round {number} {release.name}: {sum(release.rounds[-1].values()):.1f} ms", flush=True)
    sample = [chat["text"] for chat in chats(texts, "models", 20 * arguments.batches)]
    models = {part: {name: model_ms(part, *side, sample) for name, side in sides.items()} for part in PARTS}
    print("\n| ms of processor for a chat | this | other | ratio |\n|---|---|---|---|")
    for process in sorted(set(this.cpu()) & set(that.cpu())):
        _row(process, *(float(np.median([cost[process] for cost in side.rounds])) for side in (this, that)))
    _row("all", this.total(), that.total())
    for part, found in models.items():
        _row(f"of it the {part}", found["this"], found["other"])
    redacted = (models["redactor"]["this"], models["redactor"]["other"])
    _row("all but the redactor", this.total() - redacted[0], that.total() - redacted[1])
    rest = [side.total() - sum(found[side.name] for found in models.values()) for side in (this, that)]
    _row("all but redactor and embedder", *rest)


def _row(name: str, this: float, other: float) -> None:
    print(f"| {name} | {this:.2f} | {other:.2f} | {this / other:.2f} |" if other else f"| {name} | {this:.2f} | 0 | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the other checkout")
    parser.add_argument("--rate", type=float, default=20.0, help="chats a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batches", type=int, default=30, help="of 20 texts, for the cost of the models")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(prefix="mmplatform-releases-") as folder:
        compare(arguments.other.resolve(), arguments.python, arguments, Path(folder))


if __name__ == "__main__":
    main()
