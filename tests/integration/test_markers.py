"""Unique markers, planted in every input path of a real stack, lie afterwards where they may and nowhere else.

Three kinds of marker, with the places that docs/explanation/where-data-lies.md allows for each:

- *refused*: what the gateway refuses or ignores (file names, headers, unknown fields, bad bodies, searches): nowhere;
- *raw*: personal data in accepted events, and text in the metadata of media: the raw vault only;
- *ids* of a source: the log, the tables, the index, the state of calls and logs; not in names, memo or metrics.

Dagster runs beside the stream: its sensors report what lands, each derived table is reprocessed for its hours, and its
checks run. Every file of the data directory is read, Dagster's databases and logs too, with what is compressed or
encoded in it decoded.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import secrets
import shutil
import sqlite3
import string
import wave
from collections.abc import Iterator
from pathlib import Path

import fastavro
import httpx
import pyarrow.parquet as pq
import pytest
import zstandard
from PIL import Image, ImageDraw, PngImagePlugin
from rocksdict import AccessType, Options, Rdict

from mmplatform.demo.case import load_case
from mmplatform.demo.stream import CaseStream
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, DEAD_LETTERS_TOPIC, MODALITIES, QUARANTINE_TOPIC
from tests.integration.conftest import running_stack
from tests.integration.dagster_ui import ENDED, DagsterUi
from tests.waiting import eventually

# The fixture makes every table of a case again in Dagster: on two loaded cores that takes more than five minutes.
pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1200)]
CASE = Path(__file__).parents[2] / "examples" / "payment-failed"
MIN_SECRET_CHARS = 8
RAW_VAULT = ("blobs/", *(f"lakehouse/warehouse/mmplatform/{spec.raw_table}/" for spec in MODALITIES.values()))
ID_PLACES = (*RAW_VAULT, "lakehouse/warehouse/", "chroma/", "state/", "logs/", "dagster/")
PATIENCE_S = 600
REPROCESSED = ("messages", "captions", "transcripts")
ON_LOG_ONLY = {"record that is no JSON", "record of an unknown kind"}
IN_BLOBS = {"comment of a picture", "comment of a sound"}
IN_PIXELS = {"e-mail in a picture"}
INTERACTIONS = {spec.topic for spec in MODALITIES.values()}
DERIVED_TOPICS = (ARTIFACTS_TOPIC, QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC)


class Markers:
    """Random words, each with the path through which it was sent."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}

    def new(self, path: str) -> str:
        word = "zq" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(14))
        self.paths[word] = path
        return word

    def found(self, content: bytes) -> set[str]:
        folded = content.lower()
        if not any(form in folded for form in (b"zq", b"z\0q")):
            return set()
        return {
            path for word, path in self.paths.items() if word.encode() in folded or word.encode("utf-16-le") in folded
        }


class Planted:
    """What was sent, by the kind of its markers."""

    def __init__(self) -> None:
        self.refused, self.raw, self.ids = Markers(), Markers(), Markers()
        self.values: set[bytes] = set()

    def found(self, content: bytes) -> tuple[set[str], set[str], set[str]]:
        values = {f"the value {value.decode()}" for value in self.values if value in content}
        return self.refused.found(content), self.raw.found(content) | values, self.ids.found(content)


def picture(text: str, note: str) -> bytes:
    image = Image.new("RGB", (900, 120), "white")
    ImageDraw.Draw(image).text((20, 40), text, fill="black", font_size=32)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", note)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def sound(note: str) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    text = note.encode().ljust(len(note) + len(note) % 2, b"\0")
    listed = b"INFOICMT" + len(text).to_bytes(4, "little") + text
    content = out.getvalue() + b"LIST" + len(listed).to_bytes(4, "little") + listed
    return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]


def send_refused(post, url: str, planted: Planted) -> None:
    """Send what must leave no trace at all: the gateway refuses it, ignores it, or only answers it."""
    new = planted.refused.new
    chat = {"conversation_id": "c", "subject_id": "s", "role": "customer", "text": "hello"}
    answers = [
        post("/v1/events/chat", content=f'{{"text": "{new("bad JSON")}"'.encode()),
        post("/v1/events/chat", json=chat | {new("unknown field"): new("value of an unknown field")}),
        post("/v1/events/chat", json=chat | {"role": new("wrong role")}),
        post("/v1/events/chat", json=chat | {"event_time": new("wrong time")}),
        post("/v1/events/chat", json=chat | {"text": [new("text of another type")]}),
        post("/v1/events/chat", json=chat | {"text": f"{new('text with NUL')}\0"}),
        post("/v1/events/chat", json=[chat, {"text": new("second of a list")}]),
        post("/v1/events/chat", json=chat | {"conversation_id": new("id that is too long") * 60}),
        post(f"/v1/{new('unknown path')}", json=chat),
        post("/v1/events/screenshot", content=new("bad image").encode(), headers={"content-type": "image/png"}),
        post("/v1/events/screenshot", content=b"x", headers={"content-type": f"image/{new('media type')}"}),
        post(
            "/v1/events/screenshot",
            data={"conversation_id": "c", "subject_id": "s", new("part name"): new("part value")},
            files={"file": (f"{new('file name of a refused upload')}.png", picture("hello", "note"), "image/png")},
        ),
        post(
            f"/v1/calls/{new('call id of a bad chunk')}/chunks?index=0&start_s=0&subject_id={new('its subject')}",
            content=b"RIFF" + new("bad audio").encode(),
            headers={"content-type": "audio/wav"},
        ),
        post(f"/v1/calls/x%00{new('bad call id')}/end", json={"subject_id": "s"}),
        post("/v1/search", content=f'{{"query": "{new("bad search")}'.encode()),
        post("/v1/search", json={"query": "x", new("unknown filter"): new("its value")}),
        post("/v1/search", json={"query": "x", "modalities": [new("wrong modality")]}),
    ]
    assert {answer.status_code // 100 for answer in answers} == {4}, [answer.status_code for answer in answers]
    headers = {
        name: new(f"header {name}") for name in ("user-agent", "cookie", "referer", "x-request-id", "traceparent")
    }
    headers["authorization"] = f"Bearer {new('token')}"
    answered = [
        post("/v1/search", json={"query": f"who is {new('search query')}", "subject_id": new("search subject")}),
        post(f"/v1/search?{new('query name')}={new('query value')}", json={"query": "hello"}),
        post("/v1/events/chat", json=chat, headers=headers),
        httpx.get(f"{url}/healthz?{new('query of a probe')}=1", headers=headers, timeout=30),
    ]
    assert {answer.status_code // 100 for answer in answered[:3]} == {2}, [answer.status_code for answer in answered]


def send_accepted(post, planted: Planted) -> str:
    """Send events with personal data in each place that a source fills; return the subject."""
    ids, raw = planted.ids.new, planted.raw.new
    subject = ids("subject id")
    owner = {"subject_id": subject, "source": "crm"}

    def mail(path: str) -> str:
        return f"{raw(path)}@example.com"

    conversation = owner | {"conversation_id": ids("conversation id")}
    chat = conversation | {"event_id": ids("event id of a chat"), "role": "customer"}
    answers = [
        post("/v1/events/chat", json=chat | {"text": f"My address is {mail('e-mail in a chat')}, thank you"}),
        post(
            "/v1/events/chat", json=[conversation | {"role": "agent", "text": f"Mail {mail('e-mail in a list')} now"}]
        ),
        post(
            "/v1/events/screenshot",
            data=conversation | {"event_id": ids("event id of a screenshot")},
            files={
                "file": (
                    f"{planted.refused.new('file name of an upload')}.png",
                    picture(f"Mail {mail('e-mail in a picture')}", raw("comment of a picture")),
                    "image/png",
                )
            },
        ),
    ]
    call = ids("call id")
    fields = owner | {"index": 0, "start_s": 0.0, "speakers": f"{raw('speaker').title()} Whitfield"}
    files = {
        "file": (f"{planted.refused.new('file name of a chunk')}.wav", sound(raw("comment of a sound")), "audio/wav")
    }
    answers += [
        post(f"/v1/calls/{call}/chunks", data={name: str(value) for name, value in fields.items()}, files=files),
        post(f"/v1/calls/{call}/end", json=owner | {"chunks": 1}),
    ]
    assert [answer.status_code for answer in answers] == [202] * len(answers), [answer.text for answer in answers]
    return subject


def send_to_log(stack, planted: Planted) -> None:
    """Write records that no reader can use, as a foreign program would: dead letters must not quote them."""
    producer = LogProducer(stack.addressed)
    for path in sorted(ON_LOG_ONLY):
        word = planted.raw.new(path)
        value = json.dumps({"kind": word, "text": word}) if "kind" in path else f"{{{word}"
        producer.send(CHAT.topic, b"foreign", value.encode()).result(30)
    producer.close()


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of a file, and what is encoded in them."""
    content = path.read_bytes()
    yield "bytes", content
    if content.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(content)
    elif content.startswith(b"\x28\xb5\x2f\xfd"):
        yield "zstd", zstandard.ZstdDecompressor().decompressobj().decompress(content)
    elif content.startswith(b"PAR1"):
        yield "parquet", str(pq.read_table(path).to_pylist()).encode()
        yield "parquet footer", str(pq.read_metadata(path).to_dict()).encode()
    elif content.startswith(b"Obj\x01"):
        yield "avro", str(list(fastavro.reader(io.BytesIO(content)))).encode()
    elif content.startswith(b"SQLite format 3\0"):
        yield "rows", b"\n".join(sqlite_values(path))


def sqlite_values(path: Path) -> Iterator[bytes]:
    """Yield all values of a database; one that overflows its page is in pieces in the file."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.text_factory = bytes
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        )
        for (table,) in tables.fetchall():
            for row in database.execute(f'SELECT * FROM "{table.decode()}"'):  # noqa: S608 - names of its own tables
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)


def state_values(folder: Path, copy: Path) -> Iterator[bytes]:
    """Yield keys and values of a RocksDB folder, all column families, from a copy."""
    shutil.copytree(folder, copy)
    for family in Rdict.list_cf(str(copy)):
        database = Rdict(
            str(copy), Options(raw_mode=True), {family: Options(raw_mode=True)}, access_type=AccessType.read_only()
        )
        for key, value in database.get_column_family(family).items():
            yield bytes(key)
            yield bytes(value)
        database.close()


def check_places(data_dir: Path, planted: Planted, tmp_path: Path) -> tuple[list[str], set[str]]:
    """Scan the data directory; return what lies in a wrong place, and the raw markers in the vault."""
    wrong: list[str] = []
    vault: set[str] = set()

    def check(where: str, content: bytes, allowed: str) -> None:
        refused, raw, ids = planted.found(content)
        wrong.extend(f"{path} in {where}" for path in sorted(refused))
        if allowed.startswith(RAW_VAULT):
            vault.update(raw)
        else:
            wrong.extend(f"{path} in {where}" for path in sorted(raw))
        if not allowed.startswith(ID_PLACES):
            wrong.extend(f"{path} in {where}" for path in sorted(ids))

    for path in sorted(data_dir.rglob("*")):
        name = path.relative_to(data_dir).as_posix()
        check(f"the name {name}", name.encode(), "names/")
        if not path.is_file() or name.startswith("broker/"):  # its topics are read by their names
            continue
        for form, content in contents(path):
            check(f"{name} ({form})", content, name)
    for number, current in enumerate(sorted(data_dir.glob("state/**/CURRENT"))):
        for content in state_values(current.parent, tmp_path / f"state-{number}"):
            check(f"{current.parent.relative_to(data_dir)} (state)", content, "state/")
    return wrong, vault


def check_log(data_dir: Path, planted: Planted) -> list[str]:
    """Scan the broker's folder: refused markers nowhere, raw ones in segments of interactions only."""
    wrong = []
    for path in sorted((data_dir / "broker").rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(data_dir).as_posix()
        of_interactions = any(part.startswith("interactions.") for part in Path(name).parts)
        for form, content in contents(path):
            refused, raw, _ = planted.found(content)
            wrong += [f"{found} in {name} ({form})" for found in sorted(refused | (set() if of_interactions else raw))]
    return wrong


def work_in_dagster(stack) -> dict[str, str]:
    """Reprocess each derived table for the hours that it has, with its checks; return the outcome of each run."""
    ui = DagsterUi(stack.run.dagster)
    ui.wait_until_loaded(PATIENCE_S)
    runs = {}
    for table in REPROCESSED:
        for hour in sorted({f"{row['event_time']:%Y-%m-%d-%H}:00" for row in stack.rows(table, None, "event_time")}):
            runs[f"{table} {hour}"] = ui.launch(table, hour, checks=True)
    for run in runs.values():
        eventually(lambda run=run: ui.status(run) in ENDED, within_s=PATIENCE_S, every_s=1.0)
    return {name: ui.status(run) for name, run in runs.items()}


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    data_dir, planted = tmp_path_factory.mktemp("markers"), Planted()
    lineage = data_dir / "lineage.jsonl"
    with running_stack(
        data_dir, arguments=(), MMPLATFORM_OPENLINEAGE_URL=f"file:{lineage}", MMPLATFORM_DAGSTER_PORT="0"
    ) as stack:
        case = load_case(CASE, secrets.token_hex(3))
        case = dataclasses.replace(
            case,
            call=dataclasses.replace(case.call, speakers=(f"{planted.raw.new('speaker').title()} Whitfield", "agent")),
        )
        planted.values |= {value.encode() for value in case.secrets if len(value) >= MIN_SECRET_CHARS}
        CaseStream(stack.run.gateway, case, speed=20).run(lambda _: None)
        with httpx.Client(base_url=stack.run.gateway, timeout=60) as client:
            send_refused(client.post, stack.run.gateway, planted)
            subject = send_accepted(client.post, planted)
        send_to_log(stack, planted)
        stack.settle()
        eventually(lambda: stack.rows("captions", subject), within_s=120)
        eventually(lambda: stack.rows("transcripts", case.subject_id), within_s=120)
        outcomes = work_in_dagster(stack)
        pages = {
            name: httpx.get(f"{service.metrics_url}/{page}", timeout=30).content
            for name, service in stack.now().services.items()
            if service.metrics_url
            for page in ("metrics", "status")
        }
        pages["gateway"] = httpx.get(f"{stack.run.gateway}/metrics", timeout=30).content
        with ReplayLog(stack.addressed) as log:
            records = {
                topic: [
                    (entry.raw_key or b"", entry.value or b"", str(entry.headers).encode()) for entry in log.read(topic)
                ]
                for topic in (*INTERACTIONS, *DERIVED_TOPICS)
            }
    return data_dir, planted, pages, records, outcomes


def test_a_marker_lies_where_it_may_and_nowhere_else(scanned, tmp_path):
    data_dir, planted, *_ = scanned
    wrong, vault = check_places(data_dir, planted, tmp_path)
    assert wrong == []
    assert vault >= set(planted.raw.paths.values()) - ON_LOG_ONLY - IN_PIXELS, "the scan must find what was sent"


def test_dagster_has_materialized_and_checked_what_the_markers_are_in(scanned):
    data_dir, planted, _, _, outcomes = scanned
    assert {name.split()[0] for name in outcomes} == set(REPROCESSED)
    assert set(outcomes.values()) == {"SUCCESS"}, outcomes
    events = [
        content
        for path in sorted((data_dir / "dagster").rglob("*.db"))
        for content in sqlite_values(path)
        if b"ASSET_MATERIALIZATION" in content or b"ASSET_CHECK_EVALUATION" in content
    ]
    for wanted in (*REPROCESSED, "redaction_coverage", "completeness", "contract"):
        assert any(wanted.encode() in content for content in events), wanted
    assert not [path for content in events for path in planted.found(content)[1]]


def test_refused_markers_are_not_on_the_log_and_raw_ones_on_interactions_only(scanned):
    data_dir, planted, _, records, _ = scanned
    found: dict[str, set[str]] = {}
    for topic, rows in records.items():
        for part in (part for row in rows for part in row):
            refused, raw, _ = planted.found(part)
            assert not refused, topic
            found.setdefault(topic, set()).update(raw)
    assert not [(topic, found[topic]) for topic in DERIVED_TOPICS if found.get(topic)]
    on_log = set().union(*(found[topic] for topic in INTERACTIONS))
    assert on_log >= set(planted.raw.paths.values()) - IN_BLOBS - IN_PIXELS, "the scan must find what was sent"
    assert check_log(data_dir, planted) == []


def test_no_page_of_metrics_or_status_shows_a_marker(scanned):
    _, planted, pages, *_ = scanned
    assert len(pages) > len(MODALITIES)
    assert {name: planted.found(page) for name, page in pages.items() if any(planted.found(page))} == {}
