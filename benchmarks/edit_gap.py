"""The gap of an edit: from its acknowledgement until the new text is found, and the old one is not.

    python -m benchmarks.edit_gap [--seconds 60] [--chats 20] [--probes 2]

Runs against the running stack (``mmplatform up``), beside a load of other chats. Each probe has one customer at a time.
It sends a chat, edits it and deletes it, and polls the public search after each acknowledgement. So the gap of a new
chat, of an edit and of a deletion are measured alike, in one run. Both texts at once, or none of the two, are counted:
a search between retraction and new text would find nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from benchmarks.load import Load, Rates
from benchmarks.machine import describe
from mmplatform.client.client import GatewayClient
from mmplatform.local import run_file
from mmplatform.settings import load
from mmplatform.telemetry.freshness import Quantiles

POLL_S: Final = 0.03
PATIENCE_S: Final = 60.0
KINDS: Final = ("new chat", "edit", "deletion")


@dataclass(slots=True)
class Gaps:
    """Seconds by kind; and the searches after an edit that found both texts, or neither."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    both: int = 0
    neither: int = 0

    def note(self, kind: str, seconds: float) -> None:
        """Add a gap."""
        self.seconds[kind].append(seconds)

    def table(self) -> str:
        """A line for each kind."""
        lines = ["| | count | p50 | p95 | p99 | max |", "|---|---:|---:|---:|---:|---:|"]
        for kind, seconds in self.seconds.items():
            q = Quantiles.from_seconds(seconds)
            if q is not None:
                lines.append(f"| {kind} | {q.count} | {q.p50:.2f} | {q.p95:.2f} | {q.p99:.2f} | {q.max:.2f} |")
        return "\n".join(lines)


class Probe:
    """One source, and the search for what it sent; each round has a customer of its own."""

    def __init__(self, gateway: str, name: str, gaps: Gaps) -> None:
        self._name = name
        self._gaps = gaps
        self._source = GatewayClient(gateway)
        self._search = httpx.Client(base_url=gateway, timeout=30, trust_env=False)

    def run(self, stop: threading.Event) -> None:
        """Round after round, until ``stop``. Raises TimeoutError when a change is not seen."""
        number = 0
        with self._source, self._search:
            while not stop.is_set():
                self._round(f"{self._name}-{number}")
                number += 1

    def _round(self, subject: str) -> None:
        old, new = f"the first draft of {subject} asks for the parcel", f"the second draft of {subject} asks for money"
        self._source.chat(conversation_id=subject, subject_id=subject, role="customer", text=old, event_id=subject)
        self._await("new chat", subject, lambda texts: texts == {old})
        self._source.edit_chat(subject, conversation_id=subject, subject_id=subject, text=new)
        self._await("edit", subject, lambda texts: self._is_edited(texts, old, new))
        self._source.delete_chat(subject, conversation_id=subject, subject_id=subject)
        self._await("deletion", subject, lambda texts: not texts)

    def _is_edited(self, texts: set[str], old: str, new: str) -> bool:
        self._gaps.both += {old, new} <= texts
        self._gaps.neither += not texts
        return texts == {new}

    def _await(self, kind: str, subject: str, is_seen: Callable[[set[str]], bool]) -> None:
        acknowledged = time.monotonic()
        while not is_seen(self._texts(subject)):
            if time.monotonic() > acknowledged + PATIENCE_S:
                raise TimeoutError(f"{kind} of {subject}: not seen after {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)
        self._gaps.note(kind, time.monotonic() - acknowledged)

    def _texts(self, subject: str) -> set[str]:
        answer = self._search.post("/v1/search", json={"query": "the parcel", "subject_id": subject})
        return {hit["text"] for hit in answer.raise_for_status().json()["hits"]}


def main() -> None:
    arguments = _arguments()
    run = run_file.read_running(load().data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach")
    print(f"machine: {describe()}")
    gaps = measure(run.gateway, Rates(arguments.chats, 0, 0, arguments.seconds), arguments.probes)
    print(f"{arguments.chats} other chats a second, {arguments.probes} probes; seconds from the acknowledgement")
    print(gaps.table())
    print(f"searches after an edit that found both texts: {gaps.both}; neither: {gaps.neither}")


def measure(gateway: str, rates: Rates, probes: int) -> Gaps:
    """Probe while the load goes on. Raises TimeoutError when a change is not seen."""
    run_id, gaps, stop = secrets.token_hex(3), Gaps(), threading.Event()
    failures: list[BaseException] = []

    def probe(number: int) -> None:
        try:
            Probe(gateway, f"probe-{run_id}-{number}", gaps).run(stop)
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            failures.append(error)

    threads = [threading.Thread(target=probe, args=(number,), daemon=True) for number in range(probes)]
    for thread in threads:
        thread.start()
    try:
        asyncio.run(Load(gateway, rates, f"load-{run_id}", canaries=0.0, seed=int(time.time())).run())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return gaps


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--chats", type=float, default=20, help="of other customers, a second")
    parser.add_argument("--probes", type=int, default=2, help="at once")
    return parser.parse_args()


if __name__ == "__main__":
    main()
