"""Makes ``v0.tar.xz``: a data directory as the code before the renaming wrote it, and what must be found in it again.

    python tests/olddata/make_v0.py --revision 19d3c85

The old code is taken from the history of this repository and runs as it is, in a folder of its own: its stack with
Dagster is started, a small story is told to it, and it is stopped cleanly. Under each name that the old code persists
the story leaves something behind which whoever reads under another name would miss:

* a call that is over; a call whose last words are still open (audio and what was said last lie in its state); a call in
  which a chunk came early and waits; a call that ended with holes, one of which is being filled;
* chats and a screenshot, twice the same one; an event in quarantine; a dead letter, and one that was redriven in vain;
* an hour whose rows a reprocessing run replaced (with another speech model than the log's), and compacted files;
* an embedder that serves, and the one that served before it;
* what Dagster's sensors remember, what they reported, runs, checks; lineage events on the log.

Everything said in it is from ``examples/``, which is synthetic. The tables say with the whole path where their files
lie, so a copy must be told: the path is of a fixed length (``PATH_LENGTH``), and Iceberg's manifests are written
without compression. So whoever unpacks the archive to another path of that length exchanges the one for the other in
the files' bytes. ``expected.json`` beside the data directory has what a reader must find, in the old code's own words.

Needs the models ``whisper-tiny``, ``whisper-base``, ``minilm``, ``minilm-fp32`` and ``en-sm``, and takes some minutes.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import httpx
import mmh3
import numpy as np
from confluent_kafka import Producer
from PIL import Image
from pyiceberg.catalog.sql import SqlCatalog

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CASE: Final = "examples/payment-failed"
NAME: Final = "v0"
PATH_LENGTH: Final = 120
"""Characters of the data directory's path: longer than any that a test is given."""

DAY: Final = datetime(2025, 11, 3, tzinfo=UTC)
SETTINGS: Final = {
    "GATEWAY_PORT": "0",
    "DAGSTER_PORT": "0",
    "ARCHIVE_COMMIT_S": "2",
    "ASR_MODEL": "whisper-tiny",
    # An open call stays open, and a chunk that is missing is waited for, however long the archive lies.
    "CALL_IDLE_S": "1e9",
    "CALL_GAP_S": "1e9",
    "LINEAGE": "kafka",
}
PATIENT: Final = {f"DAGSTER_{what}GRPC_TIMEOUT_SECONDS": "900" for what in ("", "REPOSITORY_", "SENSOR_", "SCHEDULE_")}
"""For Dagster on a machine that has much else to do."""

TABLES: Final = {
    "raw_chats": "event_id",
    "raw_calls": "event_id",
    "raw_screenshots": "event_id",
    "messages": "artifact_id",
    "transcripts": "artifact_id",
    "captions": "artifact_id",
    "passages": "artifact_id",
    "quarantine": "quarantine_id",
}
ENDED: Final = {"SUCCESS", "FAILURE", "CANCELED"}
MODALITIES: Final = ("chat", "call", "screenshot")
DANA: Final = "v0-dana"
MIRA: Final = "v0-mira"

# What of the sample call each of ours is made of, in seconds of it, and how long a chunk is.
GREETING: Final = (0.4, 13.3, 2.58)
QUESTION: Final = (27.2, 43.7, 2.2)
TOLD: Final = 5
"""Chunks of the question that the old code hears: they end in the middle of a sentence."""


def main() -> None:
    """Make the archive."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--revision", default="19d3c85", help="the commit whose code writes the data")
    asked.add_argument("--repository", type=Path, default=REPOSITORY, help="where that commit is")
    asked.add_argument("--out", type=Path, default=Path(__file__).with_name(f"{NAME}.tar.xz"))
    asked.add_argument("--keep", action="store_true", help="leave the folder in which all of it was made")
    given = asked.parse_args()
    # Nothing of whoever runs this gets into the data: neither the folder of the code nor that of Python.
    root = Path(tempfile.mkdtemp(prefix="mmplatform-v0-", dir="/tmp"))
    try:
        stack = Stack.lay_out(root, given.repository, given.revision)
        expected = story(stack)
        tidy(stack.data_dir)
        pack(stack, expected, given.out)
    finally:
        if not given.keep:
            shutil.rmtree(root)
    say(f"{given.out}: {given.out.stat().st_size:,} bytes")


@dataclass
class Stack:
    """The old code's stack, by its command line and its HTTP doors.

    Attributes:
        later: what is for whoever continues the story, by the name of its file.
    """

    code: Path
    python: Path
    data_dir: Path
    revision: str
    later: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def lay_out(cls, root: Path, repository: Path, revision: str) -> Stack:
        """Bring the old code into a folder, and choose the place of its data."""
        code = root / "code"
        code.mkdir()
        archive = subprocess.run(["git", "archive", revision], cwd=repository, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(code, filter="data")
        (root / "environment").symlink_to(sys.prefix)
        padding = PATH_LENGTH - len(str(root)) - len("//data")
        data_dir = root / ("x" * padding) / "data"
        data_dir.mkdir(parents=True)
        assert len(str(data_dir)) == PATH_LENGTH
        return cls(code, root / "environment" / "bin" / "python", data_dir, revision)

    def cli(self, *words: str) -> str:
        """What a verb prints. Raises RuntimeError, with its words, when it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MMPLATFORM_")}
        ours = {f"MMPLATFORM_{name}": value for name, value in SETTINGS.items()}
        ours |= {"MMPLATFORM_DATA_DIR": str(self.data_dir), "PYTHONPATH": str(self.code), "COLUMNS": "250"}
        command = [str(self.python), "-m", "mmplatform", *words]
        done = subprocess.run(
            command, cwd=self.code, env=kept | PATIENT | ours, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"mmplatform {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """Up, and cleanly down."""
        self.cli("up", "--detach")
        try:
            yield
        finally:
            say(self.cli("down", "--patience", "180").strip())

    def run_file(self) -> dict[str, Any]:
        """What the running stack says of itself."""
        return json.loads((self.data_dir / "run" / "stack.json").read_text())

    def post(self, path: str, content: bytes, media_type: str, **said: str | float) -> None:
        """One event to the gateway."""
        url = f"{self.run_file()['gateway']}{path}"
        headers = {"Content-Type": media_type}
        httpx.post(url, content=content, params=said, headers=headers, timeout=60).raise_for_status()

    def passages(self, subject: str) -> list[dict[str, Any]]:
        """Everything about a person that a search finds."""
        found: list[dict[str, Any]] = []
        for modality in MODALITIES:
            asked = {"query": "anything", "subject_id": subject, "modalities": [modality], "k": 100}
            answer = httpx.post(f"{self.run_file()['gateway']}/v1/search", json=asked, timeout=60)
            found += answer.raise_for_status().json()["hits"]
        return sorted(found, key=lambda hit: (hit["event_time"], hit["passage_id"]))

    def write(self, topic: str, key: str, value: bytes) -> None:
        """A record of somebody who does not use the gateway."""
        foreign = Producer({"bootstrap.servers": self.run_file()["kafka"], "partitioner": "murmur2_random"})
        foreign.produce(topic, value=value, key=key)
        foreign.flush(30)

    def tables(self) -> SqlCatalog:
        """The tables, whether the stack runs or not."""
        folder = self.data_dir / "lakehouse"
        uri = f"sqlite:///{folder / 'catalog.sqlite'}?timeout=30"
        return SqlCatalog("mmplatform", uri=uri, warehouse=str(folder / "warehouse"))

    def rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """The rows as they lie in a table."""
        scan = self.tables().load_table(("mmplatform", table)).scan(selected_fields=columns or ("*",))
        return scan.to_arrow().to_pylist()

    def dagster(self, query: str, **variables: Any) -> dict[str, Any]:
        """What Dagster's web server answers."""
        asked = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.run_file()['dagster']}/graphql", json=asked, timeout=120).raise_for_status().json()
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"]))
        return answer["data"]

    def settle(self) -> None:
        """Wait until no worker is behind, three times in a row, and longer than the archiver waits between commits."""
        quiet = 0

        def still() -> bool:
            nonlocal quiet
            services = json.loads(self.cli("status", "--json"))["services"].items()
            lags = [run["status"]["lag"] for name, run in services if re.match(r"derive-|index|archive", name)]
            quiet = 0 if any(lag is None or lag for lag in lags) else quiet + 1
            return quiet > 2

        until(still, "no worker is behind", every_s=2.0)


def say(words: str) -> None:
    """Tell whoever runs this how far it is."""
    sys.stdout.write(f"{words}\n")


def until(check: Callable[[], Any], what: str, within_s: float = 1200.0, every_s: float = 1.0) -> Any:
    """Poll. Raises TimeoutError, which says what was waited for."""
    give_up = time.monotonic() + within_s
    while not (found := check()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(every_s)
    return found


# --- the story -----------------------------------------------------------------------------------------------------


def story(stack: Stack) -> dict[str, Any]:
    """Tell everything, and return what must be found again."""
    with stack.running():
        write_plain_manifests(stack)
        texts = chats(stack.code)
        tell_chats(stack, DANA, "v0-chat-dana", texts[1:4], DAY + timedelta(hours=9))
        tell_screenshots(stack)
        tell_calls(stack)
        tell_nonsense(stack)
        stack.settle()
        # The finished call's hour by another speech model: the log still has what the first one heard.
        hour = DAY + timedelta(hours=10)
        say(stack.cli("reprocess", "transcripts", f"{hour:%Y-%m-%d-%H:00}", "--asr-model", "whisper-base"))
        stack.cli("embedder", "build", "minilm-fp32", "--no-swap")
        stack.cli("embedder", "swap")
        # The hour gets rows in another commit, by both embedders: there is something to compact.
        tell_chats(stack, MIRA, "v0-chat-mira", texts[4:6], DAY + timedelta(hours=9, minutes=30))
        tell_chats(stack, DANA, "v0-chat-dana", texts[6:7], DAY + timedelta(hours=9, minutes=40))
        stack.settle()
        watch_dagster(stack)
        say(stack.cli("embedder", "status"))
        online = look_online(stack)
    return online | look_at_files(stack)


def write_plain_manifests(stack: Stack) -> None:
    """Until the property is taken away again (``look_at_files``): a path in a compressed file cannot be exchanged."""
    until(lambda: len(stack.tables().list_tables("mmplatform")) == len(TABLES), "the tables are there")
    for name in TABLES:
        with stack.tables().load_table(("mmplatform", name)).transaction() as change:
            change.set_properties({"write.avro.compression-codec": "null"})


def chats(code: Path) -> list[tuple[str, str]]:
    """Who says what in the sample chat."""
    lines = (code / CASE / "chat.jsonl").read_text(encoding="utf-8").splitlines()
    return [(said["role"], said["text"]) for said in map(json.loads, lines)]


def tell_chats(stack: Stack, subject: str, name: str, texts: list[tuple[str, str]], begin: datetime) -> None:
    """Lines of a chat, a minute apart."""
    for number, (role, text) in enumerate(texts):
        at = begin + timedelta(minutes=number)
        said = {"event_id": f"{name}-{at:%H%M}", "conversation_id": name, "subject_id": subject, "role": role}
        body = json.dumps(said | {"text": text, "event_time": at.isoformat(), "source": "v0"}).encode()
        stack.post("/v1/events/chat", body, "application/json")


def tell_screenshots(stack: Stack) -> None:
    """The same image twice: the second caption points at the first."""
    whole = Image.open(stack.code / CASE / "screenshots" / "checkout-error.png")
    stream = io.BytesIO()
    whole.crop((440, 200, 900, 340)).quantize(16).save(stream, "PNG", optimize=True)
    stack.later["screenshot.png"] = stream.getvalue()
    for number in range(2):
        at = DAY + timedelta(hours=11, minutes=number)
        said = {"event_id": f"v0-shot-{number}", "conversation_id": "v0-chat-dana", "subject_id": DANA}
        stack.post(
            "/v1/events/screenshot", stream.getvalue(), "image/png", event_time=at.isoformat(), source="v0", **said
        )
        stack.settle()


def tell_calls(stack: Stack) -> None:
    """Four calls, two recordings; what is not told here is for whoever continues."""
    samples = recording(stack.code / CASE / "call.flac")
    greeting, question = (list(chunks(samples, *span)) for span in (GREETING, QUESTION))
    told = Calls(stack, {"v0-call-done": 10, "v0-call-open": 12, "v0-call-early": 12, "v0-call-holes": 13})
    for index in range(len(greeting)):
        told.chunk("v0-call-done", greeting, index)
    told.end("v0-call-done", len(greeting))
    for index in range(TOLD):
        told.chunk("v0-call-open", question, index)
    for index in (0, 1, 3):
        told.chunk("v0-call-early", question, index)
    # Ended without its chunks 1, 2 and 4; then 1 comes after all, and 2 would continue it.
    for index in (0, 3):
        told.chunk("v0-call-holes", greeting, index)
    told.end("v0-call-holes", len(greeting))
    stack.settle()
    told.chunk("v0-call-holes", greeting, 1)
    rest = {"v0-call-open": range(TOLD, len(question)), "v0-call-holes": (2, 4)}
    rest |= {"v0-call-early": (2, *range(4, len(question)))}
    of = {"v0-call-open": question, "v0-call-early": question, "v0-call-holes": greeting}
    todo: dict[str, Any] = {}
    for call, indexes in rest.items():
        todo[call] = {"chunks": [], "ended": call == "v0-call-holes", "of": len(of[call])}
        for index in indexes:
            start_s, wav = of[call][index]
            name = f"{'greeting' if of[call] is greeting else 'question'}-{index}.wav"
            stack.later[name] = wav
            at = told.moment(call, start_s, wav).isoformat()
            todo[call]["chunks"].append({"index": index, "start_s": start_s, "file": name, "event_time": at})
    stack.later["calls.json"] = json.dumps(todo, indent=1).encode()


@dataclass
class Calls:
    """Sends pieces of calls; ``hours`` is when each began."""

    stack: Stack
    hours: Mapping[str, int]

    def chunk(self, call: str, pieces: list[tuple[float, bytes]], index: int) -> None:
        """One piece."""
        start_s, wav = pieces[index]
        at = self.moment(call, start_s, wav).isoformat()
        said = {"subject_id": DANA, "speakers": "agent,customer", "source": "v0", "event_time": at}
        self.stack.post(f"/v1/calls/{call}/chunks", wav, "audio/wav", index=index, start_s=start_s, **said)

    def end(self, call: str, count: int) -> None:
        """The source says how many pieces there are."""
        at = (DAY + timedelta(hours=self.hours[call], minutes=1)).isoformat()
        said = {"subject_id": DANA, "chunks": count, "source": "v0", "event_time": at}
        self.stack.post(f"/v1/calls/{call}/end", json.dumps(said).encode(), "application/json")

    def moment(self, call: str, start_s: float, wav: bytes) -> datetime:
        """When its last sample was heard."""
        with wave.open(io.BytesIO(wav)) as file:
            return DAY + timedelta(hours=self.hours[call], seconds=start_s + file.getnframes() / file.getframerate())


def recording(path: Path) -> np.ndarray[Any, Any]:
    """The sample call, shape ``(samples, channels)``, in the coarsest steps that speech recognition still takes."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray().reshape(-1, 2) for frame in container.decode(audio=0)]
    return (np.round(np.concatenate(frames) / 256) + 128).clip(0, 255).astype(np.uint8)


def chunks(samples: np.ndarray[Any, Any], begin_s: float, end_s: float, long_s: float) -> Iterator[tuple[float, bytes]]:
    """Pieces of a stretch of it as 8-bit WAV, each with its second in ours."""
    rate = 8000
    first, last, size = (round(moment * rate) for moment in (begin_s, end_s, long_s))
    for start in range(first, last, size):
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(1)
            file.setframerate(rate)
            file.writeframes(samples[start : min(start + size, last)].tobytes())
        yield (start - first) / rate, stream.getvalue()


def tell_nonsense(stack: Stack) -> None:
    """What no gateway would take: a record that does not parse, redriven in vain, and an event without words."""
    stack.write("interactions.chat", "v0-garbage", b"neither JSON nor anything else")
    at = (DAY + timedelta(hours=9)).isoformat()
    event = {"schema_version": 1, "kind": "chat_message", "event_id": "v0-blank", "conversation_id": "v0-blank"}
    event |= {"subject_id": DANA, "event_time": at, "ingested_at": at, "source": "v0", "role": "customer", "text": " "}
    stack.write("interactions.chat", "v0-blank", json.dumps(event).encode())
    [letter] = until(lambda: dead_letters(stack), "a dead letter")
    stack.cli("dead-letters", "redrive", letter["place"])
    until(lambda: len(dead_letters(stack)) > 1, "the record was redriven and still cannot be read")


def dead_letters(stack: Stack) -> list[dict[str, Any]]:
    """As the command line tells them."""
    return json.loads(stack.cli("dead-letters", "list", "--json"))


# --- Dagster -------------------------------------------------------------------------------------------------------

_REPOSITORIES: Final = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
_SENSORS: Final = """query ($from: RepositorySelector!) { sensorsOrError(repositorySelector: $from) {
  ... on Sensors { results { name sensorState { typeSpecificData { ... on SensorData { lastCursor } }
    ticks(limit: 5) { timestamp status } } } } } }"""
_MATERIALIZED: Final = """{ assetNodes { assetKey { path }
  assetMaterializations(limit: 1000) { partition } } }"""
_CHECKED: Final = """query ($asset: AssetKeyInput!, $check: String!) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, limit: 100) { status } }"""
_CHECKS: Final = """{ assetNodes { assetKey { path } assetChecksOrError {
  ... on AssetChecks { checks { name } } } } }"""
_RUNS: Final = "{ runsOrError { ... on Runs { results { runId jobName status } } } }"
_RUN: Final = """mutation ($asked: ExecutionParams!) { launchRun(executionParams: $asked) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def watch_dagster(stack: Stack) -> None:
    """Have small files compacted, then wait until every sensor has looked once more and every run is over."""
    where = until(lambda: repository(stack), "Dagster has loaded the code")
    selection = {"assetSelection": [{"path": ["compaction"]}], "assetCheckSelection": []}
    asked = {"selector": {**where, "pipelineName": "__ASSET_JOB", **selection}, "mode": "default"}
    compacted = False
    while not compacted:  # Dagster gives a run up that takes long to begin
        until(lambda: not unfinished(stack), "nothing else runs")
        launched = stack.dagster(_RUN, asked=asked)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        until(lambda: not unfinished(stack), "the compaction has ended")
        runs = stack.dagster(_RUNS)["runsOrError"]["results"]
        compacted = any(run["runId"] == launched["run"]["runId"] and run["status"] == "SUCCESS" for run in runs)
    for _ in range(2):
        since = time.time()
        every = partial(all_looked, stack, since)
        until(every, "every sensor has looked", every_s=5.0)
        until(lambda: not unfinished(stack), "no run is under way", every_s=5.0)


def repository(stack: Stack) -> dict[str, str]:
    """How Dagster calls the code; empty while it loads it."""
    try:
        nodes = stack.dagster(_REPOSITORIES)["repositoriesOrError"]["nodes"]
    except (httpx.HTTPError, KeyError):
        return {}
    return {"repositoryLocationName": nodes[0]["location"]["name"], "repositoryName": nodes[0]["name"]} if nodes else {}


def sensors(stack: Stack) -> list[dict[str, Any]]:
    """Each sensor with its cursor and its last look."""
    return list(stack.dagster(_SENSORS, **{"from": repository(stack)})["sensorsOrError"]["results"])


def all_looked(stack: Stack, moment: float) -> bool:
    """Whether every sensor has looked since then."""
    return all(looked_since(each, moment) for each in sensors(stack))


def looked_since(sensor: Mapping[str, Any], moment: float) -> bool:
    """Whether it has begun and ended a look since then."""
    ticks = sensor["sensorState"]["ticks"]
    return any(tick["timestamp"] > moment and tick["status"] in {"SUCCESS", "SKIPPED"} for tick in ticks)


def unfinished(stack: Stack) -> list[dict[str, Any]]:
    """Runs that have not ended."""
    return [run for run in stack.dagster(_RUNS)["runsOrError"]["results"] if run["status"] not in ENDED]


def look_at_dagster(stack: Stack) -> dict[str, Any]:
    """Cursors, what was reported, what was checked, what ran."""
    reported = {
        node["assetKey"]["path"][0]: Counter(each["partition"] or "" for each in node["assetMaterializations"])
        for node in stack.dagster(_MATERIALIZED)["assetNodes"]
    }
    checked: dict[str, int] = {}
    for node in stack.dagster(_CHECKS)["assetNodes"]:
        asset = node["assetKey"]["path"][0]
        for check in node["assetChecksOrError"].get("checks", ()):
            asked = {"asset": {"path": [asset]}, "check": check["name"]}
            found = stack.dagster(_CHECKED, **asked)["assetCheckExecutions"]
            if found:
                checked[f"{asset}.{check['name']}"] = len(found)
    cursors = {each["name"]: each["sensorState"]["typeSpecificData"]["lastCursor"] for each in sensors(stack)}
    runs = stack.dagster(_RUNS)["runsOrError"]["results"]
    return {
        "repository": repository(stack),
        "cursors": cursors,
        "materializations": {asset: dict(sorted(count.items())) for asset, count in reported.items() if count},
        "checks": checked,
        "runs": {run["runId"]: [run["jobName"], run["status"]] for run in runs},
    }


# --- what must be found again --------------------------------------------------------------------------------------


def look_online(stack: Stack) -> dict[str, Any]:
    """What the running stack says."""
    kept = ("passage_id", "modality", "conversation_id", "text", "event_ids", "locator", "event_time")
    hits = {
        subject: [{name: hit[name] for name in kept} for hit in stack.passages(subject)] for subject in (DANA, MIRA)
    }
    words = [line.split() for line in stack.cli("embedder", "status").splitlines()]
    status = {found[1]: found[0] for found in words if len(found) > 1 and found[1] in {"serving", "previous"}}
    return {
        "written_by": stack.revision,
        "data_dir": str(stack.data_dir),
        "passages": hits,
        "embedders": status,
        "dead_letters": dead_letters(stack),
        "dagster": look_at_dagster(stack),
        "stack": stack.run_file(),
        "untouched_bucket": f"b{(mmh3.hash(MIRA.encode()) & 0x7FFFFFFF) % 16:02d}",
    }


def look_at_files(stack: Stack) -> dict[str, Any]:
    """What the tables hold and say of themselves, now that nobody writes to them."""
    rows, summaries, compacted = {}, {}, {}
    for name, column in TABLES.items():
        table = stack.tables().load_table(("mmplatform", name))
        with table.transaction() as change:
            change.remove_properties("write.avro.compression-codec")
        rows[name] = sorted(row[column] for row in stack.rows(name, column))
        told = table.current_snapshot()
        found = told.summary.additional_properties if told is not None and told.summary is not None else {}
        compacted[name] = table.properties.get("mmplatform.compacted", "")
        summaries[name] = {key: value for key, value in found.items() if key.startswith("mmplatform.")}
    heard = stack.rows("transcripts", "artifact_id", "conversation_id", "model", "text", "status", "start_s", "end_s")
    return {
        "rows": rows,
        "summaries": summaries,
        "compacted": [name for name, said in compacted.items() if said],
        "transcripts": sorted(heard, key=lambda row: (row["conversation_id"], row["start_s"])),
    }


# --- packing -------------------------------------------------------------------------------------------------------

NOT_NEEDED: Final = (
    "logs",
    "run",
    "dagster/.*",
    "dagster/logs",
    "dagster/storage",
    "broker/lock",
    "lakehouse/locks",
    "state/**/LOG*",
    "**/*.lock",
    "**/LOCK",
)


def tidy(data_dir: Path) -> None:
    """Take away what nobody looks for, and give free pages back."""
    for pattern in NOT_NEEDED:
        for path in sorted(data_dir.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for path in sorted(data_dir.rglob("*")):
        if path.is_file() and is_sqlite(path):
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("pragma wal_checkpoint(truncate)")
                database.execute("vacuum")
                database.execute("pragma wal_checkpoint(truncate)")


def is_sqlite(path: Path) -> bool:
    """Whether a file is a database."""
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def pack(stack: Stack, expected: Mapping[str, Any], out: Path) -> None:
    """Write the archive: the data directory, what is to be told later, and what is expected."""
    top = stack.data_dir.parent
    (top / "later").mkdir()
    for name, content in stack.later.items():
        (top / "later" / name).write_bytes(content)
    (top / "expected.json").write_text(json.dumps(expected, indent=1, default=str) + "\n", encoding="utf-8")
    with tarfile.open(out, "w:xz", format=tarfile.PAX_FORMAT, preset=9 | lzma.PRESET_EXTREME) as archive:
        for path in sorted(top.rglob("*"), key=lambda path: (path.suffix, str(path))):
            if path.is_file() or not any(path.iterdir()):
                archive.add(path, f"{NAME}/{path.relative_to(top)}", recursive=False, filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = int(entry.mtime)
    return entry


if __name__ == "__main__":
    main()
