"""Measures what the pipeline keeps of the bare models' speed, for each modality, in one run.

    python -m benchmarks.efficiency [--chats 1500] [--screenshots 12] [--calls 1]

Pipeline: one deriver process, warm and waiting, works off what is put on the log of a broker of its own: parse, gate,
derive, redact, embed, publish, commit. Timed from the first event's record to the last artifact's record on the log.
Bare: exactly the model calls of that work (they were recorded beforehand), made again in a plain loop in this process,
nothing around them: ASR, OCR, embedder, and the redactor with its names model. How much of it each took is printed.
One after the other, on inputs that no memo knows. The ratio is what counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load import CHUNK_S, call_chunks, chat_texts, screenshots
from benchmarks.machine import describe
from mmplatform.artifacts import decode_artifact
from mmplatform.derive.passages import DerivedBatch
from mmplatform.events import (
    Arrival,
    CallChunk,
    CallEnd,
    ChatMessage,
    Event,
    Modality,
    Position,
    Screenshot,
    encode,
    utc_now,
)
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.blobs.open import open_blobs
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import ARTIFACTS_TOPIC, MODALITIES
from mmplatform.pipeline import factories
from mmplatform.ports import Blobs
from mmplatform.settings import Settings, load
from mmplatform.telemetry.logs import configure_logging

Calls = list[tuple[Any, tuple[Any, ...], dict[str, Any]]]
QUIET_S = 4.0
READY_S = 120.0
PATIENCE_S = 900.0


class Recorder:
    """A model that notes each of its calls. The outermost call only: what a model calls of itself is its own affair."""

    def __init__(self, model: Any, methods: Sequence[str], calls: Calls) -> None:
        self._model = model
        for name in methods:
            setattr(self, name, self._noting(getattr(model, name), calls))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @staticmethod
    def _noting(method: Any, calls: Calls) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((method, args, kwargs))
            return method(*args, **kwargs)

        return call


def events_of(modality: Modality, count: int, blobs: Blobs, seed: int) -> list[Event]:
    """Inputs that no memo knows."""
    now = utc_now()
    common = {"subject_id": "bench", "event_time": now, "ingested_at": now}
    if modality == "chat":
        texts = chat_texts()
        return [
            ChatMessage(
                event_id=f"c{seed}-{n}",
                conversation_id=f"k{n % 50}",
                role="customer",
                text=f"{texts[n % len(texts)]} (ticket {seed}-{n})",
                **common,
            )
            for n in range(count)
        ]
    if modality == "screenshot":
        images = screenshots(seed)
        found: list[Event] = []
        for n in range(count):
            from mmplatform.derive.media.image import probe

            data = next(images)
            facts = probe(data, "image/png", 50_000_000)
            blob = blobs.put(data, media_type="image/png")
            found.append(
                Screenshot(
                    event_id=f"s{seed}-{n}",
                    conversation_id=f"k{n}",
                    width=facts.width,
                    height=facts.height,
                    blob=blob,
                    **common,
                )
            )
        return found
    return [event for n in range(count) for event in _call(n, blobs, seed, common)]


def _call(number: int, blobs: Blobs, seed: int, common: dict[str, Any]) -> Iterator[Event]:
    call_id = f"call-{seed}-{number}"
    last = 0
    for index, start_s, wav in call_chunks(seed + number):
        blob = blobs.put(wav, media_type="audio/wav")
        moments = {
            name: common[name] + timedelta(seconds=start_s + CHUNK_S - 120) for name in ("event_time", "ingested_at")
        }
        yield CallChunk(
            event_id=f"{call_id}:{index}",
            conversation_id=call_id,
            chunk_index=index,
            start_s=start_s,
            duration_s=CHUNK_S,
            sample_rate=8000,
            channels=2,
            speakers=("agent", "customer"),
            blob=blob,
            **{**common, **moments},
        )
        last = index
    yield CallEnd(event_id=f"{call_id}:end", conversation_id=call_id, chunks=last + 1, **common)


def bare_seconds(modality: Modality, events: Sequence[Event], settings: Settings, blobs: Blobs) -> dict[str, float]:
    """Record the model calls of a derivation, then time those calls alone; seconds by what was called."""
    return replayed_seconds(record_calls(modality, events, settings, blobs))


def record_calls(modality: Modality, events: Sequence[Event], settings: Settings, blobs: Blobs) -> Calls:
    """The model calls of a derivation, in their order."""
    calls: Calls = []
    deriver = _recorded(modality, settings, blobs, calls)
    arrivals = [Arrival(event, Position(topic="bench", topic_partition=0, offset=n)) for n, event in enumerate(events)]
    if modality == "call":
        states: dict[str, Any] = {}
        for arrival in arrivals:
            key = arrival.event.conversation_id
            states[key], _ = deriver.advance(states.get(key), arrival)
    else:
        for start in range(0, len(arrivals), settings.derive_max_batch_size):
            derived: DerivedBatch = deriver.derive(arrivals[start : start + settings.derive_max_batch_size])
            assert derived.artifacts
    return calls


def replayed_seconds(calls: Calls) -> dict[str, float]:
    """Seconds of these calls with nothing around them, by what was called."""
    spent: dict[str, float] = {}
    for method, args, kwargs in calls:
        started = time.perf_counter()
        method(*args, **kwargs)
        spent[method.__name__] = spent.get(method.__name__, 0.0) + time.perf_counter() - started
    return spent


def _recorded(modality: Modality, settings: Settings, blobs: Blobs, calls: Calls) -> Any:
    """The real deriver, with recorders in the places of its models."""
    memo = MemoryMemo()
    makers: dict[Modality, Callable[[], Any]] = {
        "chat": lambda: factories.chat_deriver(settings, memo),
        "screenshot": lambda: factories.screenshot_deriver(settings, memo, blobs),
        "call": lambda: factories.call_deriver(settings, memo, blobs),
    }
    opened = {
        "open_embedder": ("embed",),
        "open_redactor": ("redact",),
        "open_reader": ("read",),
        "open_captioner": ("caption",),
        "open_transcriber": ("transcribe",),
    }
    originals = {name: getattr(factories, name) for name in opened}
    try:
        for name, methods in opened.items():
            setattr(factories, name, lambda s, o=originals[name], m=methods: Recorder(o(s), m, calls))
        return makers[modality]()
    finally:
        for name, original in originals.items():
            setattr(factories, name, original)


def pipeline_seconds(modality: Modality, events: Sequence[Event], settings: Settings) -> float:
    """Work the events off with one deriver process; from the first event on the log to the last artifact on it."""
    settings = settings.model_copy(update={"metrics_port": any_free_port()})
    command = [sys.executable, "-m", "mmplatform.worker", f"derive-{modality}"]
    log = ReplayLog(settings)
    topic = MODALITIES[modality].topic
    with running(command, settings) as child:
        _wait_until_ready(child, settings.metrics_port)
        first = utc_now()
        producer = LogProducer(settings)
        producer.send_all(LogRecord(topic, event.conversation_key, encode(event)) for event in events)
        producer.close()
        _wait_until_quiet(child, log, topic, f"derive-{modality}")
        # Only artifacts of these events: an earlier run of another modality may lie before them.
        uids = {event.uid for event in events}
        records = [
            (artifact, entry.timestamp)
            for entry in log.read(ARTIFACTS_TOPIC)
            if uids & set((artifact := decode_artifact(entry.value, entry.headers)).event_uids)
        ]
    # Quix gives a produced record its source's timestamp: there the artifact's own stamp is the later one.
    last = max(max(moment, artifact.stamps.derived_at) for artifact, moment in records)
    return (last - first).total_seconds()


def _wait_until_ready(child: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        _alive(child, deadline)
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)


def _wait_until_quiet(child: subprocess.Popen[bytes], log: ReplayLog, topic: str, group: str) -> None:
    quiet_since, deadline = time.monotonic(), time.monotonic() + PATIENCE_S
    while time.monotonic() - quiet_since < QUIET_S:
        _alive(child, deadline)
        if sum(log.lag(group, [topic])[topic].values()):
            quiet_since = time.monotonic()
        time.sleep(0.5)


def _alive(child: subprocess.Popen[bytes], deadline: float) -> None:
    if child.poll() is not None:
        raise SystemExit(f"{child.args!r} ended with {child.returncode}: nothing was measured")
    if time.monotonic() > deadline:
        raise SystemExit(f"{child.args!r} did not finish in time: nothing was measured")


@contextmanager
def running(command: list[str], settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A child process with these settings, ended with the block."""
    import os

    from mmplatform.local.services.environment import Addresses, worker_environment

    environment = worker_environment(
        settings,
        Addresses(settings.kafka_bootstrap_servers, settings.chroma_url, 0),
        metrics_port=settings.metrics_port,
    )
    log = (settings.data_dir / "worker.log").open("ab")
    child = subprocess.Popen(command, env={**os.environ, **environment}, stderr=log, stdout=log, stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)
        log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=1500)
    parser.add_argument("--screenshots", type=int, default=12)
    parser.add_argument("--calls", type=int, default=1, help="the sample call of 90 s, so many times")
    arguments = parser.parse_args()
    configure_logging(load(log_level="warning"), worker="benchmark")
    counts: dict[Modality, int] = {
        "chat": arguments.chats,
        "screenshot": arguments.screenshots,
        "call": arguments.calls,
    }
    print(f"machine: {describe()}")
    print(
        f"{'modality':<12}{'inputs':>8}{'bare s':>9}{'pipeline s':>12}{'pipeline/bare throughput':>26}   bare, by call"
    )
    with tempfile.TemporaryDirectory() as folder:
        port = any_free_port()
        settings = load(data_dir=Path(folder), kafka_bootstrap_servers=f"127.0.0.1:{port}")
        broker = [
            sys.executable,
            "-m",
            "mmplatform.local.broker",
            "--data",
            f"{folder}/broker",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with running(broker, settings):
            ensure_topics(settings)
            blobs = open_blobs(settings)
            for modality, count in counts.items():
                if count:
                    bare = bare_seconds(modality, events_of(modality, count, blobs, 1), settings, blobs)
                    pipeline_s = pipeline_seconds(modality, events_of(modality, count, blobs, 1001), settings)
                    total = sum(bare.values())
                    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in bare.items())
                    figures = f"{count:>8}{total:>9.2f}{pipeline_s:>12.2f}{total / pipeline_s:>17.2f}"
                    print(f"{modality:<12}{figures}   {parts}", flush=True)


if __name__ == "__main__":
    main()
