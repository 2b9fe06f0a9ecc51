"""Checks of `mmplatform doctor --deep`: a canary is written to each store and read again; each model gets a question.

Platform data is not touched: the canaries have a topic, a collection, a table and a blob of their own. Only the topic
stays, with its records. Each check gives one result, also when it raises.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import numpy as np

from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.catalog import catalog_errors, open_catalog
from mmplatform.pipeline import factories
from mmplatform.pipeline.canary.samples import CANARY_SPEECH
from mmplatform.settings import Settings

_TOLERATED_SKEW_S: Final = 1.0
_MAX_SKEW_S: Final = 60.0
CANARY_TOPIC: Final = "doctor"


@dataclass(frozen=True, slots=True)
class DeepCheckResult:
    """Result of one check; ``fix`` is the remedy where the status is ``warning`` or ``failed``."""

    check: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    fix: str = ""


def deep_checks(settings: Settings) -> dict[str, Callable[[Settings], str | DeepCheckResult]]:
    """Every check by its name: it returns a detail or a result, or raises the failure."""
    found: dict[str, Callable[[Settings], str | DeepCheckResult]] = {
        "broker round trip": _broker,
        "index canary": _index,
        "lakehouse canary": _lakehouse,
        "blob canary": _blobs,
        "embedder answers": _embedder,
        "redactor answers": _redactor,
        "speech model answers": _speech,
        "screen reader answers": _reader,
    }
    if settings.caption_model:
        found["captioner answers"] = _captioner
    return found


_FIXES: Final = {
    "broker round trip": (
        "check that the broker is up (`mmplatform status`) and MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS names it"
    ),
    "index canary": (
        "check that Chroma is up and has disk; when its files are lost: docs/how-to/runbook.md, the index is lost"
    ),
    "lakehouse canary": (
        "check that catalog and warehouse exist and are writable (MMPLATFORM_ICEBERG_CATALOG, …_WAREHOUSE)"
    ),
    "blob canary": "check that the blob store exists and is writable (MMPLATFORM_BLOB_STORE_URL, MMPLATFORM_DATA_DIR)",
}
_MODEL_FIX: Final = "pull the model again: delete its directory, then `mmplatform models pull`"


def run_deep_checks(settings: Settings) -> list[DeepCheckResult]:
    """Run every check; none raises."""
    return [_run_check(name, check, settings) for name, check in deep_checks(settings).items()]


def _run_check(name: str, check: Callable[[Settings], str | DeepCheckResult], settings: Settings) -> DeepCheckResult:
    fix = _FIXES.get(name, _MODEL_FIX)
    try:
        found = check(settings)
    except PlatformError as error:
        return DeepCheckResult(name, "failed", str(error), fix)
    except Exception as error:  # noqa: BLE001 - whatever a library raises here is what the doctor came to find
        return DeepCheckResult(name, "failed", type(error).__name__, fix)
    return found if isinstance(found, DeepCheckResult) else DeepCheckResult(name, "ok", found)


class _CheckFailed(PlatformError):
    """A store or a model gave a wrong answer."""


def _broker(settings: Settings) -> str | DeepCheckResult:
    """Round trip of a record. Where the broker stamps records itself, its clock is compared with this machine's."""
    from mmplatform.kafka.round_trip import round_trip

    sent_at, received_at, broker_at = round_trip(settings, CANARY_TOPIC)
    round_trip_ms = (received_at - sent_at) / timedelta(milliseconds=1)
    if broker_at is None:
        return f"a record came back after {round_trip_ms:.0f} ms; its records do not tell the broker's clock"
    # Between the two moments, if both clocks are right.
    skew_s = max((sent_at - broker_at).total_seconds(), (broker_at - received_at).total_seconds(), 0.0)
    detail = f"a record came back after {round_trip_ms:.0f} ms; the broker's clock is {skew_s:.2f} s off this machine's"
    if skew_s < _TOLERATED_SKEW_S:
        return detail
    fix = "set both clocks: turn on time synchronisation (chrony) here and on the broker; see docs/how-to/runbook.md"
    return DeepCheckResult("broker round trip", "failed" if skew_s > _MAX_SKEW_S else "warning", detail, fix)


def _index(settings: Settings) -> str:
    name = f"doctor-{uuid.uuid4().hex}"
    with closing(ChromaIndex.open(settings)) as index, chroma_errors("try a canary"):
        client = index.client()
        collection = client.create_collection(name, embedding_function=None)
        try:
            vector = np.eye(1, 8, dtype=np.float32)
            collection.upsert(ids=["canary"], embeddings=vector, documents=["canary"])
            found = collection.query(query_embeddings=vector, n_results=1)["ids"][0]
            collection.delete(ids=["canary"])
            left = collection.count()
        finally:
            client.delete_collection(name)
    if found != ["canary"] or left:
        raise _CheckFailed("a passage was written, but a search did not find it, or it could not be deleted")
    return "a passage was written, found by a search and deleted"


def _lakehouse(settings: Settings) -> str:
    import pyarrow as pa

    identifier = (settings.iceberg_namespace, f"doctor_{uuid.uuid4().hex}")
    with catalog_errors("try a canary"):
        catalog = open_catalog(settings)
        catalog.create_namespace_if_not_exists(settings.iceberg_namespace)
        rows = pa.table({"canary": ["canary"]})
        table = catalog.create_table(identifier, schema=rows.schema)
        try:
            table.append(rows)
            found = catalog.load_table(identifier).scan().to_arrow().column("canary").to_pylist()
        finally:
            catalog.purge_table(identifier)
    if found != ["canary"]:
        raise _CheckFailed("a row was written, but could not be read again")
    return "a table was created, a row written and read, and the table deleted"


def _blobs(settings: Settings) -> str:
    blobs = open_blobs(settings)
    data = f"canary {uuid.uuid4().hex} {utc_now().isoformat()}".encode()
    ref = blobs.put(data, media_type="text/plain")
    try:
        found = blobs.get(ref)
    finally:
        blobs.delete(ref)
    if found != data or blobs.exists(ref):
        raise _CheckFailed("bytes were written, but others were read, or they could not be deleted")
    return "bytes were written, read and deleted"


def _embedder(settings: Settings) -> str:
    embedder = factories.open_embedder(settings)
    vectors = embedder.embed(["the payment was declined", "my card did not work when I paid", "rain in the mountains"])
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3) or near < far + 0.2:
        raise _CheckFailed(f"{embedder.name}@{embedder.version} does not tell like from unlike ({near:.2f}, {far:.2f})")
    return f"{embedder.name}@{embedder.version}: like {near:.2f}, unlike {far:.2f}"


def _redactor(settings: Settings) -> str:
    redactor = factories.open_redactor(settings)
    (found,) = redactor.redact(["This is Sarah Connor, write to sarah@example.com, card 4111 1111 1111 1111"])
    if any(word in found.text for word in ("Connor", "sarah@", "4111")):
        raise _CheckFailed("a name, an address or a card number of the canary was not redacted")
    return f"{len(found.entities)} of 3 entities of the canary redacted"


def _speech(settings: Settings) -> str:
    from mmplatform.derive.media.audio import decode

    segments = factories.open_transcriber(settings).transcribe(decode(CANARY_SPEECH.read_bytes(), "audio/ogg")[0])
    words = " ".join(segment.text for segment in segments).lower()
    if "browser" not in words or "card" not in words:
        raise _CheckFailed("the canary's words were not recognised")
    return "the canary's words were recognised"


def _reader(settings: Settings) -> str:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (480, 120), "white")
    ImageDraw.Draw(image).text((24, 36), "Order 482193", fill="black", font_size=40)
    lines = factories.open_screen_reader(settings).read(np.array(image))
    if "482193" not in " ".join(line.text for line in lines):
        raise _CheckFailed("the canary's number was not read")
    return "the canary's number was read"


def _captioner(settings: Settings) -> str:
    blank = np.full((64, 64, 3), 255, dtype=np.uint8)
    with suppress(IndexError):
        if factories.open_captioner(settings).caption(blank, []):
            return "the canary got a caption"
    raise _CheckFailed("the canary got no caption")
