"""A peer at work: its process, its separate reader, and what is put on its log."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.machine import cpu_seconds
from benchmarks.peers.arrivals import append, files_of, log_of
from benchmarks.peers.environments import Peer, python_of
from benchmarks.peers.outcome import Ledger, Outcome, format_changes, texts
from benchmarks.peers.watch import DELETED
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.settings import load

PATIENCE_S: Final = 600.0
LAST_POLL_S: Final = 120.0
_ROOT: Final = Path(__file__).parents[2]
_AT_ONCE: Final = 200


class Late(Exception):
    """Something is not there in time."""


class Contest:
    """One index of one peer, and all that was sent to it."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._peer = peer
        self._python = python_of(peer)
        self.folder = folder
        log_of(folder).touch()
        if peer.files:
            files_of(folder).mkdir()
        settings = load()
        self._model = locate_model(settings.embedding_model, settings.models_path)
        self.wanted: dict[str, int] = {}
        self._indexer: subprocess.Popen[bytes] | None = None
        self._reader: subprocess.Popen[bytes] | None = self._start("read", str(folder))
        self.start()

    def start(self) -> None:
        """Start the indexer, again after a kill."""
        self._indexer = self._start("index", str(self.folder), str(self._model))

    def kill(self) -> None:
        """SIGKILL for the indexer and all that it started, at once."""
        daemons = self._daemons()
        if self._indexer is not None:
            _end(self._indexer)
        for daemon in daemons:
            with suppress(psutil.NoSuchProcess):
                daemon.kill()

    def close(self) -> list[tuple[str, int]]:
        """Rows that the reader finds in the end, as id and version; then nothing runs any more."""
        (self.folder / "stop").touch()
        present_file = self.folder / "there.json"
        try:
            self._wait(present_file.exists, "the reader's last look", LAST_POLL_S)
            return [(name, version) for name, _, version in json.loads(present_file.read_text())]
        finally:
            self.end()

    def end(self) -> None:
        """Nothing of it runs any more; a second time does nothing."""
        self.kill()
        self._indexer = None
        if self._reader is not None:
            _end(self._reader)
            self._reader = None

    def send(self, numbers: list[int], sent_texts: list[str], *, version: int = 1, deleted: bool = False) -> None:
        """Changes that are acknowledged when this returns."""
        changes: list[dict[str, Any]] = [
            {"id": f"chat-{n}", "n": n, "version": version, "text": text, "deleted": deleted}
            for n, text in zip(numbers, sent_texts, strict=True)
        ]
        for first in range(0, len(changes), _AT_ONCE):
            append(self.folder, changes[first : first + _AT_ONCE])
        for change in changes:
            if deleted:
                self.wanted.pop(change["id"], None)
            else:
                self.wanted[change["id"]] = version

    def seen(self) -> dict[tuple[int, int], float]:
        """Times at which the reader first got each number and version."""
        lines = (self.folder / "seen.jsonl").read_text().splitlines() if (self.folder / "seen.jsonl").exists() else []
        return {(n, version): moment for n, version, moment in map(json.loads, lines)}

    def reset_reader(self) -> None:
        """Forget the rows that the reader got before now."""
        (self.folder / "forget").touch()

    def wait_for(self, numbers: list[int], version: int = 1) -> float:
        """The moment at which the reader had got the last of them. Raises Late."""
        awaited = {(n, version) for n in numbers}
        self._wait(lambda: not (self.folder / "forget").exists(), "a fresh look")
        self._wait(lambda: awaited <= self.seen().keys(), f"{len(awaited)} chats")
        found = self.seen()
        return max(found[row_id] for row_id in awaited)

    def wait_for_share(self, count: int) -> None:
        """Until the reader has got so many."""
        self._wait(lambda: len(self.seen()) >= count, f"{count} chats")

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the indexer and all that it started."""
        return sum(cpu_seconds(process.pid) for process in self._family())

    @property
    def memory_mb(self) -> float:
        """Memory of the indexer and all that it started."""
        return sum(process.memory_full_info().pss for process in self._family()) / 2**20

    def _family(self) -> list[psutil.Process]:
        assert self._indexer is not None
        indexer = psutil.Process(self._indexer.pid)
        return [indexer, *indexer.children(recursive=True), *self._daemons()]

    def _daemons(self) -> list[psutil.Process]:
        """A Postgres that a peer started as a daemon of its own: it is no child of anybody's any more."""
        found: list[psutil.Process] = []
        for pid_file in self.folder.rglob("postmaster.pid"):
            with suppress(psutil.NoSuchProcess, ValueError, IndexError):
                postmaster = psutil.Process(int(pid_file.read_text().split()[0]))
                if str(pid_file.parent) in postmaster.cmdline():
                    found += [postmaster, *postmaster.children(recursive=True)]
        return found

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self._python), "-m", f"benchmarks.peers.{self._peer.module}", *arguments]
        environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PIXELTABLE_HOME": str(self.folder / "pixeltable"),
            "COCOINDEX_DISABLE_USAGE_TRACKING": "1",
        }
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def _wait(self, done: Any, what: str, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not done():
            if self._indexer is not None and self._indexer.poll() is not None:
                last_line = (self.folder / "index.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise Late(f"its process ended with {self._indexer.returncode}: {' '.join(last_line)[:160]}")
            if time.monotonic() > deadline:
                raise Late(f"{what} not there after {patience_s:.0f} s ({len(self.seen())} seen)")
            time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A process and all that it started, which are in a group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def contest(peer: Peer) -> Iterator[Contest]:
    """A peer with an empty index, warm: a first chat is retrievable."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        running = Contest(peer, Path(folder))
        try:
            running.send([0], ["a first chat, so that all is loaded"])
            running.wait_for([0])
            yield running
        finally:
            running.end()


def measure(peer: Peer, chats: int, rates: list[int], seconds: float, seed: int) -> Outcome:
    """All of it, one after the other; what fails is told where it failed."""
    found = Outcome(peer.name, f"{', '.join(peer.pins)}: {peer.settings}", chats)
    try:
        with contest(peer) as running:
            _throughput(running, found, seed)
            for rate in rates:
                found.gaps[rate] = _gaps(running, rate, seconds, seed + rate)
            found.changes = _changes(running, chats, seed)
        found.killed = _killed(peer, chats, seed + 1)
    except Late as late:
        if found.until_all is None:
            found.trouble = str(late)
        elif not found.changes:
            found.changes = f"**{late}**"
        else:
            found.killed = f"**{late}**"
    return found


def _throughput(running: Contest, found: Outcome, seed: int) -> None:
    numbers = list(range(1, found.chats + 1))
    before, begun = running.cpu_seconds, time.time()
    running.send(numbers, texts(found.chats, seed))
    found.until_all = running.wait_for(numbers) - begun
    found.cpu = running.cpu_seconds - before
    found.memory_mb = running.memory_mb


def _gaps(running: Contest, rate: int, seconds: float, seed: int) -> list[float]:
    """Open loop: from the moment at which a chat was due until the reader got it."""
    chooser, first = random.Random(seed), max(int(name.partition("-")[2]) for name in running.wanted) + 1
    sent_texts = texts(round(rate * seconds), seed)
    due = begun = time.time()
    moments = {}
    for n, text in enumerate(sent_texts, start=first):
        due += chooser.expovariate(rate)
        if due - begun > seconds:
            break
        time.sleep(max(0.0, due - time.time()))
        running.send([n], [text])
        moments[n] = due
    running.wait_for(list(moments))
    seen = running.seen()
    return [seen[n, 1] - due for n, due in moments.items()]


def _changes(running: Contest, chats: int, seed: int) -> str:
    share = max(1, chats // 100)
    chosen = random.Random(seed).sample(range(1, chats + 1), 2 * share)
    edited, deleted = chosen[:share], chosen[share:]
    (running.folder / "look-again").touch()
    begun = time.time()
    running.send(edited, texts(share, seed + 7), version=2)
    running.send(deleted, [""] * share, deleted=True)
    edited_s, deleted_s = running.wait_for(edited, 2) - begun, running.wait_for(deleted, DELETED) - begun
    wanted = dict(running.wanted)
    return format_changes(edited_s, deleted_s, Ledger.from_rows(wanted, running.close()))


def _killed(peer: Peer, chats: int, seed: int) -> str:
    with contest(peer) as running:
        numbers = list(range(1, chats + 1))
        running.send(numbers, texts(chats, seed))
        running.wait_for_share(round(0.6 * chats))
        running.kill()
        running.reset_reader()
        begun = time.time()
        running.start()
        elapsed_s = running.wait_for(numbers) - begun
        wanted = dict(running.wanted)
        return f"whole again after {elapsed_s:.1f} s; {Ledger.from_rows(wanted, running.close())}"
